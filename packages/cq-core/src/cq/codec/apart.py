"""Stored arguments read apart, without the database: which of them this process cannot read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps

from cq.errors import CodecError

from .decode import decode

if TYPE_CHECKING:
    from collections.abc import Iterator


class Apart(NamedTuple):
    """The arguments of a call, each with why it cannot be read; None: it can."""

    args: list[CodecError | None]
    kwargs: dict[str, CodecError | None]


def read_apart(args_text: str, kwargs_text: str) -> Apart:
    """Return what this process can read of a call's arguments.

    Rows that they name, and results of other tasks, are taken to be there. Raises
    CodecError for text that holds no arguments at all.
    """
    reader = _Reader()
    args, kwargs = reader.loaded(args_text), reader.loaded(kwargs_text)
    if type(args) is not list or type(kwargs) is not dict:
        raise CodecError("the stored arguments are no list and no dict of names")
    if "$" in kwargs:
        # Its names are such as look like a tag.
        names = decode(json.dumps(kwargs), reader.results)
        return Apart([reader.problem(a) for a in args], dict.fromkeys(map(str, names)))
    return Apart(
        [reader.problem(node) for node in args],
        {name: reader.problem(node) for name, node in kwargs.items()},
    )


class _Reader:
    """The reader of one call, with a text of its own for each thing it does not look at."""

    def __init__(self) -> None:
        self._texts: Iterator[str] = (f"not looked at {n}" for n in range(2**62))

    def loaded(self, text: str) -> Any:
        if '"$"' not in text and "\\u0024" not in text:
            return decode(text)
        try:
            return json.loads(text, object_hook=self._without_rows)
        except (ValueError, RecursionError) as error:
            raise CodecError(f"the stored text cannot be read: {error}") from error

    def problem(self, node: Any) -> CodecError | None:
        if not isinstance(node, (list, dict)):
            return None
        try:
            decode(json.dumps(node), self.results)
        except CodecError as error:
            return error
        except RecursionError as error:
            return CodecError(f"the stored text cannot be read: {error}")
        return None

    def results(self, start: int, count: int) -> list[Any]:
        return [next(self._texts) for _ in range(count)]

    def _without_rows(self, found: dict[str, Any]) -> Any:
        if found.get("$") == "model" and _is_known(found.get("v")):
            return next(self._texts)
        return found


def _is_known(stored: Any) -> bool:
    # Of another one `decode` says what is wrong, before it asks the database.
    try:
        label, _, _ = stored
        return not apps.get_model(label)._meta.swapped
    except (AttributeError, LookupError, TypeError, ValueError):
        return False
