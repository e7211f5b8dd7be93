"""Stored arguments and results as text for people: secrets hidden, never too long.

The stored text is read as JSON and not decoded: that would look up rows and classes,
and a value that cannot be restored any more has to be shown as well.
"""

from __future__ import annotations

import json
import pprint
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from django.views.debug import (
    SafeExceptionReporterFilter,
    get_default_exception_reporter_filter,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Characters of one value on a page.
LONGEST_SHOWN = 32 * 1024
#: Characters that are read at all; a task's own may have 1 MiB by default.
LONGEST_READ = 4 * 1024 * 1024
#: Levels that are walked; the codec stores 64 by default.
DEEPEST = 100
HIDDEN = "********"
WIDTH = 88


class _Word:
    """Shows as the text it was made of, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


_CUT = _Word("...")


def readable(stored: str | None, names: Sequence[str] = ()) -> str:
    """Return a stored value as Python would write it, at most 32 Ki characters.

    names: what the items are called, where the value is a list of arguments.
    Text that is no JSON is not shown: nobody can tell what is secret in it.
    """
    if stored is None:
        return ""
    if len(stored) > LONGEST_READ:
        return f"[{len(stored):,} characters, too many to be shown]"
    try:
        node = json.loads(stored)
    except (ValueError, RecursionError) as error:
        return f"[{len(stored):,} characters that cannot be read: {error}]"
    reader = _Reader(names)
    text = pprint.pformat(reader.read(node), width=WIDTH, sort_dicts=False)
    if len(text) > LONGEST_SHOWN or reader.room < 0:
        text = text[:LONGEST_SHOWN]
        text += f"\n[cut; {len(stored):,} characters are stored]"
    return text


def is_secret(name: str) -> bool:
    """Tell whether Django's error pages would hide a setting of that name."""
    reporter = get_default_exception_reporter_filter()
    standard = SafeExceptionReporterFilter.hidden_settings
    pattern = getattr(reporter, "hidden_settings", standard)
    return pattern.search(name) is not None


class _Reader:
    """Copies what fits, with words in place of secrets and of what JSON has no word for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.room = LONGEST_SHOWN
        self.depth = 0

    def read(self, node: Any) -> Any:
        if isinstance(node, list):
            return list(self._items(node, self.names))
        return self._node(node)

    def _node(self, node: Any) -> Any:
        if not isinstance(node, list | dict):
            return self._leaf(node)
        if self.depth >= DEEPEST:
            return _CUT
        self.depth += 1
        self.room -= 2
        try:
            if isinstance(node, list):
                return list(self._items(node))
            return self._tagged(node) if "$" in node else self._pairs(node.items())
        finally:
            self.depth -= 1

    def _leaf(self, node: Any) -> _Word:
        text = repr(node[: self.room + 1] if isinstance(node, str) else node)
        self.room -= len(text) + 2
        return _Word(text)

    def _items(self, nodes: list[Any], names: Sequence[str] = ()) -> Iterable[Any]:
        for node, name in zip(nodes, chain(names, repeat("")), strict=False):
            if self.room < 0:
                yield _CUT
                return
            yield self._value(name, node)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        found = {}
        for key, node in pairs:
            if self.room < 0:
                found[_CUT] = _CUT
                break
            word = self._node(key)
            # A key of many parts, as in {(1, 2): 3}, is shown as it stands.
            hashable = word if isinstance(word, _Word) else _Word(repr(word))
            found[hashable] = self._value(key, node)
        return found

    def _value(self, name: Any, node: Any) -> Any:
        if isinstance(name, str) and name and is_secret(name):
            self.room -= len(HIDDEN)
            return _Word(HIDDEN)
        return self._node(node)

    def _tagged(self, node: dict[str, Any]) -> Any:
        tag: Any = node["$"]
        stored: Any = node.get("v")
        write = _WORDS.get(tag) if isinstance(tag, str) and len(node) == 2 else None
        try:
            if write is not None:
                return self._word(write(stored))
            if tag == "dict":
                return self._pairs((key, value) for key, value in stored)
            if tag == "tuple":
                return tuple(self._items([*stored]))
            if tag in ("set", "frozenset"):
                inner = repr(list(self._items([*stored])))
                return _Word(f"{tag}({inner})")
        except (LookupError, TypeError, ValueError):
            return self._word(f"<a {tag} that cannot be read>")
        return self._pairs(node.items())

    def _word(self, text: str) -> _Word:
        text = text[: self.room + 1]
        self.room -= len(text) + 2
        return _Word(text)


def _moment(kind: str) -> Callable[[Any], str]:
    return lambda v: f"{kind}({v[0] if isinstance(v, list) else v!s})"


#: By tag, the word for what is stored under it.
_WORDS: dict[str, Callable[[Any], str]] = {
    "bytes": lambda v: f"base64({v!r})",
    "date": _moment("date"),
    "datetime": _moment("datetime"),
    "decimal": lambda v: f"Decimal({v!r})",
    "enum": lambda v: f"{v[1]}.{v[2]}",
    "group": lambda v: "<the results of its subtasks>",
    "model": lambda v: f"<{v[0]} {v[1]!r}>",
    "str": lambda v: repr("".join(v)),
    "task": lambda v: f"<the result of dependency {int(v)}>",
    "tasks": lambda v: f"<the results of {int(v[1])} dependencies from {int(v[0])}>",
    "time": _moment("time"),
    "timedelta": lambda v: f"timedelta({v[0]}, {v[1]}, {v[2]})",
    "uuid": lambda v: f"UUID({v!r})",
}
