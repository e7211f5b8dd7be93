"""Stored arguments and results as text for people, never too long.

The stored text is read as JSON and not decoded: that would look up rows and classes,
and a value that cannot be restored any more has to be shown as well.
"""

from __future__ import annotations

import json
import pprint
from typing import TYPE_CHECKING, Any

from cq.text import cut_off

from .redaction import CUT, MAX_DEPTH, Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Characters of one value on a page.
LONGEST_SHOWN = 32 * 1024
#: Characters that are read at all; a task's own may have 1 MiB by default.
LONGEST_READ = 4 * 1024 * 1024
LINE_WIDTH = 88


def in_brief(node: Any, longest: int) -> str:
    """Return a value that has been redacted as Python would write it, in one line."""
    text = repr(_Reader(longest).read(node))
    return cut_off(text, longest)


class _Word:
    """Text whose repr is itself, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


_CUT = _Word(CUT)


def readable(stored: str | None, redact: Callable[[Any], Any]) -> str:
    """Return a stored value as Python would write it, at most 32 Ki characters.

    redact: a method of :class:`.redaction.Redaction`, by what the value is.
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
    reader = _Reader()
    text = reader.text(redact(node))
    if len(text) > LONGEST_SHOWN or reader.room < 0:
        text = text[:LONGEST_SHOWN]
        text += f"\n[cut; {len(stored):,} characters are stored]"
    return text


def readable_each(nodes: Iterable[Any]) -> tuple[list[str], bool]:
    """Return values that were read as JSON as `readable` does, within the same bound.

    It is one bound for all of them; and whether some of it was cut.
    """
    reader = _Reader()
    texts = [reader.text(node) for node in nodes]
    cut = reader.room < 0 or any(len(text) > LONGEST_SHOWN for text in texts)
    return [text[:LONGEST_SHOWN] for text in texts], cut


class _Reader:
    """A copy of what fits, with words for what JSON has no word for."""

    def __init__(self, room: int = LONGEST_SHOWN) -> None:
        self.room = room
        self.depth = 0

    def text(self, node: Any) -> str:
        if self.room < 0:
            return CUT
        return pprint.pformat(self.read(node), width=LINE_WIDTH, sort_dicts=False)

    def read(self, node: Any) -> Any:
        if not isinstance(node, list | dict):
            return self._leaf(node)
        if self.depth >= MAX_DEPTH:
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
        if isinstance(node, Mark):
            return self._word(node)
        text = repr(node[: self.room + 1] if isinstance(node, str) else node)
        self.room -= len(text) + 2
        return _Word(text)

    def _items(self, nodes: list[Any]) -> Iterable[Any]:
        for node in nodes:
            if self.room < 0:
                yield _CUT
                return
            yield self.read(node)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        found = {}
        for key, node in pairs:
            if self.room < 0:
                found[_CUT] = _CUT
                break
            word = self.read(key)
            # A key of many parts, as in {(1, 2): 3}, is shown as it stands.
            hashable = word if isinstance(word, _Word) else _Word(repr(word))
            found[hashable] = self.read(node)
        return found

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
