"""The arguments of a stored call by their names, of which the beginning is enough.

Of a value that was cut off nothing is shown: nobody can tell what is secret in it.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from cq.text import cut_off

from .redaction import CUT
from .values import in_brief

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .redaction import Redaction

_decoder = json.JSONDecoder()
_BLANKS = " \t\n\r"


class Argument(NamedTuple):
    """An argument of a call, redacted. name: "" where the signature does not tell it."""

    name: str
    value: Any


def arguments(
    redaction: Redaction, args: str, kwargs: str, cut: int | None = None
) -> list[Argument]:
    """Return the arguments of a call, as they may be shown.

    args, kwargs: as they are stored, or their first `cut` characters. Then the last
    argument of each may be `CUT`, in the place of one or more.
    """
    by_position = _read(args, cut, list)
    shown = redaction.args(by_position.found)
    names = redaction.names(len(shown))
    found = [Argument(*pair) for pair in zip(names, shown, strict=True)]
    if by_position.cut:
        found.append(Argument(redaction.names(len(shown) + 1)[-1], CUT))
    by_name = _read(kwargs, cut, dict)
    node = redaction.kwargs(by_name.found)
    found += [Argument(str(name), value) for name, value in node.items()]
    if by_name.cut:
        found.append(Argument("", CUT))
    return found


def call_text(found: list[Argument], longest: int) -> str:
    """Return arguments in one line: ``order_id=4711, currency='eur'``."""
    parts: list[str] = []
    room = longest
    for name, value in found:
        text = in_brief(value, max(room, 4))
        parts.append(f"{name}={text}" if name else text)
        room -= len(parts[-1]) + 2
        if room < 0:
            break
    text = ", ".join(parts)
    return cut_off(text, longest)


class _Beginning(NamedTuple):
    found: Any
    #: Whether there is more that could not be read.
    cut: bool


def _read(
    stored: str, cut: int | None, kind: type[list[Any]] | type[dict[str, Any]]
) -> _Beginning:
    """Return the whole values at the beginning of a list or an object."""
    if cut is None or len(stored) < cut or stored in ("[]", "{}"):
        try:
            node = json.loads(stored)
        except (ValueError, RecursionError):
            return _Beginning(kind(), True)
        return (
            _Beginning(node, False)
            if isinstance(node, kind)
            else _Beginning(kind(), True)
        )
    found: list[tuple[Any, bool]] = []
    with contextlib.suppress(ValueError, RecursionError):
        found.extend((_pairs if kind is dict else _items)(stored))
    return _Beginning(
        kind([one for one, _ended in found]), not (found and found[-1][1])
    )


def _items(text: str) -> Iterator[tuple[Any, bool]]:
    """Give each value of a list, and whether it was the last; raises ValueError."""
    at, ended = 1, False
    while not ended:
        node, at = _decoder.raw_decode(text, _skip(text, at))
        at, ended = _end(text, at, "]")
        yield node, ended


def _pairs(text: str) -> Iterator[tuple[Any, bool]]:
    """Give each name and value of an object, and whether it was the last."""
    at, ended = 1, False
    while not ended:
        name, at = _decoder.raw_decode(text, _skip(text, at))
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("a name without a value")
        node, at = _decoder.raw_decode(text, _skip(text, at + 1))
        at, ended = _end(text, at, "}")
        yield (str(name), node), ended


def _end(text: str, at: int, bracket: str) -> tuple[int, bool]:
    """Return where the next value begins, and whether there is none."""
    at = _skip(text, at)
    # Of what stands at the very end nobody knows whether it goes on.
    if text[at : at + 1] not in (",", bracket):
        raise ValueError("a value that is cut off")
    return at + 1, text[at] == bracket


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _BLANKS:
        at += 1
    return at
