"""What a list is asked for, by its filters and its search together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Q

from cq.conf import conf
from cq.definitions.tags import MOST_TAGS
from cq.ids import first_of
from cq.operations.filter import TaskFilter
from cq.status import Status
from cq.tables.queries import has_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from .terms import Terms

    #: A filter of the project's own pages.
    Narrowing = Callable[[QuerySet[Any, Any]], QuerySet[Any, Any]]

T = TypeVar("T")

_LOOKUPS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}

#: Values of a column; None: any of them.
Values = frozenset[str] | None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The conditions of a list. What is None, or empty, is no condition."""

    statuses: Values = None
    names: Values = None
    queues: Values = None
    level: str | None = None
    parent: UUID | None = None
    root: UUID | None = None
    workers: frozenset[int] | None = None
    #: All of these.
    tags: tuple[str, ...] = ()
    #: The first and the last.
    ids: tuple[UUID, UUID] | None = None
    since: datetime | None = None
    until: datetime | None = None
    #: A name has one of these in it, where it is not among `names`.
    name_parts: tuple[str, ...] = ()
    #: What is to be found in what is shown; of arguments also by the path to it.
    words: tuple[str, ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    errors: tuple[str, ...] = ()
    #: Columns that an address compares by Django's own words, and other filters.
    lookups: Q | None = None
    filters: tuple[Narrowing, ...] = ()
    #: Why there can be nothing, as sentences.
    problems: tuple[str, ...] = ()

    def also(self, terms: Terms, workers: frozenset[int] | None) -> Wanted:
        """Return this and what was typed. workers: those that its words name."""
        names = frozenset(terms.names) if terms.names or terms.name_parts else None
        chosen = self.names
        if names is not None and chosen is not None:
            parts = terms.name_parts
            names = frozenset(
                name for name in chosen if name in names or _has_any(name, parts)
            )
            terms.name_parts = []
        return replace(
            self,
            statuses=_both(self.statuses, terms.statuses),
            names=names if names is not None else chosen,
            queues=_both(self.queues, terms.queues),
            tags=tuple(dict.fromkeys((*self.tags, *terms.tags))),
            workers=workers if self.workers is None else self.workers,
            ids=terms.ids or self.ids,
            since=max(filter(None, (self.since, terms.since)), default=None),
            until=min(filter(None, (self.until, terms.until)), default=None),
            name_parts=tuple(terms.name_parts),
            words=tuple(terms.words),
            paths=tuple(terms.paths),
            errors=tuple(terms.errors),
            problems=(*self.problems, *terms.problems),
        )

    @property
    def is_impossible(self) -> bool:
        """Whether there can be nothing."""
        none = frozenset[object]()
        sets = (self.statuses, self.queues, self.workers)
        if any(values == none for values in sets) or len(self.tags) > MOST_TAGS:
            return True
        return bool(self.problems) or (self.names == none and not self.name_parts)

    @property
    def is_searched(self) -> bool:
        """Whether texts are looked through."""
        return bool(self.words or self.paths or self.errors)

    @property
    def as_filter(self) -> TaskFilter | None:
        """The same as a filter of operations; None where such a one does not say it."""
        is_one = self.ids is None or self.ids[0] == self.ids[1]
        others = (self.name_parts, self.lookups, self.filters)
        if self.is_impossible or self.is_searched or any(others) or not is_one:
            return None
        statuses = _in_order(self.statuses)
        return TaskFilter(
            status=None if statuses is None else tuple(map(Status, statuses)),
            name=_in_order(self.names),
            queue=_in_order(self.queues),
            since=self.since,
            until=self.until,
            ids=self.ids and self.ids[:1],
            root=self.root,
            parent=self.parent,
            worker=_in_order(self.workers),
            level=self.level or None,
            tag=self.tags or None,
        )

    @property
    def has_only_statuses(self) -> bool:
        """Whether the status is all that rows are asked for."""
        rest = self.conditions(without=("statuses",))
        return not (rest or self.is_searched or self.filters or self.bounds)

    @property
    def bounds(self) -> list[tuple[str, UUID]]:
        """The range of ids: an id begins with its moment."""
        found: list[tuple[str, UUID]] = []
        if self.ids is not None:
            found += [(">=", self.ids[0]), ("<=", self.ids[1])]
        if self.since is not None:
            found.append((">=", first_of(self.since)))
        if self.until is not None:
            found.append(("<", first_of(self.until)))
        return found

    def conditions(self, without: Iterable[str] = ()) -> list[Q]:
        """Return what the database is asked, but for the range and for texts.

        without: attributes of this that the rows fulfil already.
        """
        found: dict[str, Q | None] = {
            "statuses": _among("status", self.statuses),
            "names": self._named(),
            "queues": _among("queue", self.queues),
            "level": {
                "top": Q(parent__isnull=True),
                "below": Q(parent__isnull=False),
            }.get(self.level or ""),
            "parent": None if self.parent is None else Q(parent=self.parent),
            "root": None if self.root is None else Q(root=self.root),
            "workers": _among("worker_id", self.workers),
            "tags": _with_all(self.tags),
            "lookups": self.lookups,
        }
        left_out = frozenset(without)
        return [
            q for name, q in found.items() if q is not None and name not in left_out
        ]

    def among(self, rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        """Return all rows that are wanted, but for what is searched in their texts.

        rows: with `any_case`, see `matching`.
        """
        if self.is_impossible:
            return rows.none()
        rows = rows.filter(*self.conditions())
        for sign, bound in self.bounds:
            rows = rows.filter(**{f"pk__{_LOOKUPS[sign]}": bound})
        for narrow in self.filters:
            rows = narrow(rows)
        return rows

    def _named(self) -> Q | None:
        if not self.name_parts:
            return _among("name", self.names)
        # MySQL's collation of the column tells "Mail" from "mail": see `matching`.
        parts = [Q(any_case__icontains=part) for part in self.name_parts]
        return reduce(or_, parts, Q(name__in=sorted(self.names or ())))


def _among(column: str, values: frozenset[str] | frozenset[int] | None) -> Q | None:
    return None if values is None else Q(**{f"{column}__in": sorted(values)})


def _with_all(tags: tuple[str, ...]) -> Q | None:
    return Q(*(has_tag(conf.DATABASE, tag) for tag in tags)) if tags else None


def _in_order(values: Iterable[T] | None) -> tuple[T, ...] | None:
    return None if values is None else tuple(sorted(values))  # type: ignore[type-var]


def _both(one: Values, other: set[str]) -> Values:
    if not other:
        return one
    return frozenset(other) if one is None else one & other


def _has_any(name: str, parts: Iterable[str]) -> bool:
    return any(part.casefold() in name.casefold() for part in parts)
