"""The arguments of a call by the names of its parameters, as text for people."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from .values import LONGEST_READ, readable, readable_each

if TYPE_CHECKING:
    from .redaction import Redaction

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


class Argument(NamedTuple):
    """A value that a task is called with, and the parameter that takes it."""

    #: "*numbers" for what such a parameter takes together; "args" or "kwargs" for what is
    #: known under no other name.
    name: str
    text: str


def named_arguments(args: str, kwargs: str, redaction: Redaction) -> list[Argument]:
    """Return the stored arguments of a call by name, with what is secret hidden.

    At most 32 Ki characters of them all. What a function that is not registered here is
    given by position is one argument, "args".
    """
    found: list[tuple[str, Any]] = []
    unread: list[Argument] = []
    positional = _read(args)
    if isinstance(positional, list):
        found += _by_position(redaction.args(positional), redaction.parameters)
    else:
        unread.append(Argument("args", readable(args, redaction.args)))
    named = _read(kwargs)
    # With a "$" it is none of the codec's own, which has texts for keys.
    if isinstance(named, dict) and "$" not in named:
        found += redaction.kwargs(named).items()
    else:
        unread.append(Argument("kwargs", readable(kwargs, redaction.kwargs)))
    texts, cut = readable_each(node for _, node in found)
    if cut:
        texts[-1] += f"\n[cut; {len(args) + len(kwargs):,} characters are stored]"
    names = [name for name, _ in found]
    return [*map(Argument, names, texts), *unread]


def _read(stored: str) -> Any:
    if len(stored) > LONGEST_READ:
        return None
    try:
        return json.loads(stored)
    except (ValueError, RecursionError):
        return None


def _by_position(
    nodes: list[Any], parameters: list[inspect.Parameter]
) -> list[tuple[str, Any]]:
    names = [p.name for p in parameters if p.kind in _BY_POSITION]
    found = list(zip(names, nodes, strict=False))
    if rest := nodes[len(names) :]:
        several = (p for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL)
        found.append((next((f"*{p.name}" for p in several), "args"), rest))
    return found
