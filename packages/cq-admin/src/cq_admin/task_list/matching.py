"""The words of a search, held against what is shown of a row.

The database knows nothing of what is hidden. What it finds is looked through: a row counts
only if the word is in what the reader may see.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections
from django.db.models import F, Q, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Collate, Left

from cq.definitions import tags
from cq.display.call_text import Argument, arguments
from cq.display.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import QuerySet

    from .wanted import Wanted

#: Characters of arguments, and of an error, that are looked at: more would be fetched from
#: where the database keeps what is large.
LONGEST_LOOKED_AT = 2_000
#: The columns of what `narrow` returns, behind a row's id.
TEXTS = (
    "name",
    "args_start",
    "kwargs_start",
    "error_start",
    "exception_start",
    "own_tags",
    "tags_from_parent",
)
#: Characters of all tags that a task may have, as JSON with each letter as its escape.
LONGEST_TAGS = tags.MOST_TAGS * (6 * tags.LONGEST_TAG + 4)
_NONE = frozenset(("none", "null"))


class Match(NamedTuple):
    """A row that has all that was looked for. by_arguments: not without those."""

    by_arguments: bool


class Matcher:
    """The words of one search."""

    def __init__(self, wanted: Wanted, sees_args: bool) -> None:
        self.words = wanted.words
        self.paths = [
            (tuple(path.split(".")), value.casefold()) for path, value in wanted.paths
        ]
        self.errors = [error.casefold() for error in wanted.errors]
        self.sees_args = sees_args
        self._redaction = cache(Redaction)

    def narrow(self, found: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        """Keep the rows that may match, with the texts of `TEXTS`.

        found: with `any_case`.
        """
        args = Left("args", LONGEST_LOOKED_AT) if self._reads_args else Value("")
        kwargs = Left("kwargs", LONGEST_LOOKED_AT) if self._reads_args else Value("")
        error = Left("error", LONGEST_LOOKED_AT) if self.errors else Value("")
        exception = Left("exception", 255) if self.errors else Value("")
        found = found.annotate(
            args_start=args,
            kwargs_start=kwargs,
            error_start=error,
            exception_start=exception,
            own_tags=self._tags(found, tags.KEY),
            tags_from_parent=self._tags(found, tags.FROM_PARENT),
        )
        for word in self.words:
            named = Q(any_case__icontains=word)
            found = found.filter(named | _tagged(word) | self._stored(word))
        for _path, value in self.paths:
            found = found.filter(self._stored("null" if value in _NONE else value))
        for error_word in self.errors:
            found = found.filter(
                Q(error_start__icontains=error_word)
                | Q(exception_start__icontains=error_word)
            )
        return found

    @property
    def _reads_args(self) -> bool:
        return self.sees_args and bool(self.words or self.paths)

    def _tags(self, found: QuerySet[Any, Any], key: str) -> Any:
        # Of the row itself: by the table of tags each row of a window would be looked up,
        # or all of that table be read.
        if not self.words:
            return Value("")
        return Left(_without_case(found, KT(f"options__{key}")), LONGEST_TAGS)

    def _stored(self, word: str) -> Q:
        if not self.sees_args:
            return Q()
        stored = as_stored(word)
        return Q(args_start__icontains=stored) | Q(kwargs_start__icontains=stored)

    def match(
        self,
        name: str,
        args: str,
        kwargs: str,
        error: str | None,
        exception: str | None,
        *tags: str | None,
    ) -> Match | None:
        """Return whether a row has it all, in what is shown of it."""
        redaction = self._redaction(name)
        if self.errors:
            said = redaction.text(error or "").casefold()
            of_class = (exception or "").casefold()
            if not all(word in said or word in of_class for word in self.errors):
                return None
        folded = [text.casefold() for text in (name, *_each_of(tags))]
        missing = [
            word
            for word in self.words
            if not any(word.casefold() in text for text in folded)
        ]
        if not missing and not self.paths:
            return Match(by_arguments=False)
        if not self.sees_args:
            return None
        shown = arguments(redaction, args, kwargs, LONGEST_LOOKED_AT)
        text = "\n".join(
            json.dumps({one.name: one.value}, separators=(",", ":")) for one in shown
        ).casefold()
        if not all(as_stored(word).casefold() in text for word in missing):
            return None
        if not all(_has(shown, path, value) for path, value in self.paths):
            return None
        return Match(by_arguments=True)


def any_case(found: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """Add `any_case`, the name as something to be searched without regard to case."""
    named: QuerySet[Any, Any] = found.alias(any_case=_without_case(found, F("name")))
    return named


def _without_case(found: QuerySet[Any, Any], text: Any) -> Any:
    # The collation of a column there tells "Mail" from "mail".
    mysql = connections[found.db].vendor == "mysql"
    return Collate(text, "utf8mb4_general_ci") if mysql else text


def _tagged(word: str) -> Q:
    """Return the condition that a tag may have a word: as text, and as JSON has it."""
    forms = {word, as_stored(word), json.dumps(word, ensure_ascii=False)[1:-1]}
    found = Q()
    for form in sorted(forms):
        found |= Q(own_tags__icontains=form) | Q(tags_from_parent__icontains=form)
    return found


def _each_of(tags: Iterable[str | None]) -> Iterator[str]:
    """Give the tags that stand in texts of JSON."""
    for text in filter(None, tags):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            continue  # anybody may have written it who has the database
        if isinstance(found, list):
            yield from (tag for tag in found if isinstance(tag, str))


def as_stored(word: str) -> str:
    """Return a word as the codec writes it: ASCII, with escapes for the rest."""
    return json.dumps(word)[1:-1]


def _has(shown: list[Argument], path: tuple[str, ...], value: str) -> bool:
    """Tell whether a value is found by its path, whose first step is an argument."""
    return any(
        value in _texts(node)
        for one in shown
        if one.name == path[0]
        for node in _at(one.value, path[1:])
    )


def _at(node: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Give what is found by a path; of a list, its members too."""
    node = _untagged(node)
    if not path:
        yield node
        if isinstance(node, list):
            yield from map(_untagged, node)
        return
    if isinstance(node, dict) and path[0] in node:
        yield from _at(node[path[0]], path[1:])
    elif isinstance(node, list):
        if path[0].isdigit() and int(path[0]) < len(node):
            yield from _at(node[int(path[0])], path[1:])
        for item in node:
            if isinstance(_untagged(item), dict):
                yield from _at(item, path)


def _untagged(node: Any) -> Any:
    """Return what a tag of the codec stands around."""
    if not (isinstance(node, dict) and len(node) == 2 and "$" in node and "v" in node):
        return node
    stored = node["v"]
    if node["$"] == "dict" and isinstance(stored, list):
        pairs = [pair for pair in stored if isinstance(pair, list) and len(pair) == 2]
        return {str(key): value for key, value in pairs}
    return stored


def _texts(node: Any) -> set[str]:
    """Return what one may write for a value."""
    if isinstance(node, (list, dict)):
        return set()
    if node is None:
        return set(_NONE)
    return {str(node).casefold()}
