"""What is told of a tree that is too large to be read: its numbers, and those that matter.

By two statements. One walks an index and counts. The other walks it again, for what the
first has found (what each parent ended with, what took longest) and some of all; and that
of the children that did not succeed. Each walk is bounded.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from cq.db.statements import uuid_of
from cq.metrics.moments import aware
from cq.status import FAILED, OPEN, Status
from cq.tables.queries import has_status
from cq.tables.together import compiled, merged

from .nodes import Group, Pace, rank_of
from .shape import MOST_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.slices import Slice

    from .nodes import Node

#: Rows that are counted, and groups of them.
MOST_COUNTED = 100_000
MOST_GROUPS = 500
#: Parents of which is asked what they ended with, and names of which is asked what took
#: longest.
MOST_SCANS = 6
#: Children of one parent among which is looked for some that failed.
MOST_WALKED = 2_000
#: Of those, of all names.
_MOST_SHOWN = 10 * MOST_FAILED
#: Those of which is known how long they took, of all names.
SAMPLES = 500
#: What comes back of the second walk: many may have ended at one moment.
_MOST_FOUND = 4 * SAMPLES

#: Of those that are only counted. Their progress as `cq.logs.progress` sums it.
_COUNTED = (
    "id",
    "parent_id",
    "name",
    "status",
    "started",
    "first_started",
    "finished",
    "counted",
    "progress_total",
    "progress_done",
)
_AMOUNT = "CASE WHEN c.counted THEN COALESCE(c.progress_total, 1.0) ELSE 0.0 END"
_DONE = (
    "CASE WHEN NOT c.counted THEN 0.0 "
    "WHEN c.finished IS NOT NULL THEN COALESCE(c.progress_total, 1.0) "
    "ELSE COALESCE(c.progress_done, 0.0) END"
)
_BEGAN = "COALESCE(c.first_started, c.started)"
#: Seconds from the first start to the end.
_TOOK = {
    "postgresql": f"EXTRACT(EPOCH FROM c.finished - {_BEGAN})::float8",
    "sqlite": f"(julianday(c.finished) - julianday({_BEGAN})) * 86400.0",
    "mysql": f"TIMESTAMPDIFF(MICROSECOND, {_BEGAN}, c.finished) * 1e-6",
}
#: An id of those that are open, as text: PostgreSQL has no least of ids.
_OPEN_ONE = {
    "postgresql": 'MIN(CASE WHEN c.finished IS NULL THEN c.id::text END COLLATE "C")',
    "sqlite": "MIN(CASE WHEN c.finished IS NULL THEN c.id END)",
    "mysql": "MIN(CASE WHEN c.finished IS NULL THEN c.id END)",
}
#: SQLite has days as fractions, which are that exact.
_EXACT = 0.0001
#: What no moment is.
_NEVER = object()


class Beyond:
    """A tree whose tasks are counted.

    rows: all that are there for the reader. inside: those that are counted, below `top`.
    """

    def __init__(
        self, using: str, rows: QuerySet[Any, Any], inside: Slice, top: UUID
    ) -> None:
        self.using = using
        self.rows = rows
        self.inside = inside
        self.top = top
        self.connection = connections[using]
        self._counts = self._count()
        self.groups = [_group(*row[:-1]) for row in self._counts]
        #: How long they took, once they have been taken.
        self.paces: dict[tuple[UUID, str], Pace] = {}
        #: How many were counted.
        self.total = int(self._counts[0][-1]) if self._counts else 0
        #: Whether there are others.
        self.more = self.total > MOST_COUNTED or len(self.groups) >= MOST_GROUPS

    def _walk(self) -> tuple[str, Any]:
        """Return SQL for the tasks that are counted, the oldest first."""
        rows = self.inside.rows.reverse().values_list(*_COUNTED)
        return compiled(self.using, rows[: MOST_COUNTED + 1])

    def _count(self) -> list[Any]:
        """Count what there is, by parent, name and status, in one walk."""
        sql, params = self._walk()
        vendor = self.connection.vendor
        # At its end the number of rows, by which is known whether there are more.
        grouped = (
            "SELECT c.parent_id, c.name, c.status, COUNT(*), "
            f"MIN({_BEGAN}), MAX(c.finished), SUM({_AMOUNT}), SUM({_DONE}), "
            f"MAX({_TOOK[vendor]}), {_OPEN_ONE[vendor]}, "
            f"SUM(COUNT(*)) OVER () FROM ({sql}) c "
            "GROUP BY c.parent_id, c.name, c.status "
            f"ORDER BY 4 DESC, 1, 2, 3 LIMIT {MOST_GROUPS}"
        )
        with self.connection.cursor() as cursor:
            cursor.execute(grouped, params)
            return list(cursor.fetchall())

    # --- what stands out --------------------------------------------------------------

    def wanted(self) -> QuerySet[Any, Any]:
        """Return what is to be read of them, for `take`."""
        arms = [self._standing_out()]
        arms += [self._failed(parent) for parent in self._parents_of_failed()]
        if ids := self._open_ones:
            known = self.rows.filter(pk__in=ids).order_by().values("id")[: len(ids)]
            arms.append(merged(self.using, [known], "1", len(ids)))
        united = " UNION ALL ".join(
            f"SELECT m.id FROM ({sql}) m" for sql, _ in arms if sql
        )
        params = [value for _, params in arms for value in params]
        among = RawSQL(f"cq_tasks.id IN ({united})", params, BooleanField())
        return self.rows.filter(among).order_by("pk")

    def take(self, nodes: Iterable[Node]) -> list[Node]:
        """Note how long they took, and return those that matter each by itself."""
        matter: dict[UUID, Node] = {}
        ends = {uuid_of(parent): aware(last) for parent, last in self._ends.items()}
        for node in nodes:
            assert node.parent is not None
            if node.took is not None:
                pace = self.paces.setdefault((node.parent, node.name), Pace())
                succeeded = node.status == Status.COMPLETE
                pace.add(node.id, node.took, is_one_of_some=succeeded)
            if node.counted and node.finished == ends.get(node.parent, _NEVER):
                ends.pop(node.parent)  # one of those that ended at one moment
                matter[node.id] = node
            if node.status in FAILED or node.id in self._open_ones:
                matter[node.id] = node
        return list(matter.values())

    @cached_property
    def _ends(self) -> dict[Any, Any]:
        """When the last below a parent ended: as the driver says it, to be found again."""
        ends: dict[Any, Any] = {}
        for parent, _name, _status, _count, _first, last, *_ in self._counts:
            if last is not None:
                ends[parent] = max(last, ends.get(parent, last))
        return dict(list(ends.items())[:MOST_SCANS])

    @property
    def _longest(self) -> dict[tuple[Any, str], float]:
        longest: dict[tuple[Any, str], float] = {}
        for parent, name, *_, seconds, _open, _all in self._counts:
            if seconds is not None:
                key = parent, name
                longest[key] = max(seconds, longest.get(key, seconds))
        return dict(list(longest.items())[:MOST_SCANS])

    def _standing_out(self) -> tuple[str, list[Any]]:
        """Return SQL for another walk: what ended last, what took longest, and some."""
        step = max(1, self.total // SAMPLES)
        wanted = [f"(f.status = '{Status.COMPLETE}' AND f.place %% {step} = 0)"]
        params: list[Any] = []
        for parent, last in self._ends.items():
            wanted.append("(f.parent_id = %s AND f.finished = %s)")
            params += [parent, last]
        for (parent, name), seconds in self._longest.items():
            wanted.append("(f.parent_id = %s AND f.name = %s AND f.took >= %s)")
            params += [parent, name, seconds - _EXACT]
        sql, inside = self._walk()
        took = _TOOK[self.connection.vendor]
        return (
            "SELECT f.id FROM ("
            f"SELECT c.*, {took} AS took, ROW_NUMBER() OVER () AS place FROM ({sql}) c"
            f") f WHERE f.finished IS NOT NULL AND ({' OR '.join(wanted)}) "
            f"LIMIT {_MOST_FOUND}",
            [*inside, *params],
        )

    @cached_property
    def _open_ones(self) -> list[UUID]:
        """Return what the parents that have the most wait for: what is furthest on."""
        found: dict[UUID, Group] = {}
        for group in self.groups:
            if group.status in OPEN and group.open_one is not None:
                other = found.setdefault(group.parent, group)
                if rank_of(group.status) < rank_of(other.status):
                    found[group.parent] = group
        return [g.open_one for g in found.values() if g.open_one][:MOST_SCANS]

    def _parents_of_failed(self) -> list[UUID]:
        found = [g.parent for g in self.groups if g.status in FAILED]
        # What comes behind those that were counted may have failed as well.
        return list(dict.fromkeys([self.top] * self.more + found))[:MOST_SCANS]

    def _failed(self, parent: UUID) -> tuple[str, list[Any]]:
        """Return SQL for some of each name that failed, right below one task."""
        failed = self.rows.filter(
            has_status(*FAILED), counted=True, parent__isnull=False
        )
        # As a range, and in the order of the index that has what failed.
        failed = failed.filter(parent__gte=parent, parent__lte=parent)
        first = failed.order_by("parent_id").values("id", "name")[:MOST_WALKED]
        sql, params = compiled(self.using, first)
        return (
            "SELECT p.id FROM (SELECT w.id, ROW_NUMBER() OVER "
            f"(PARTITION BY w.name ORDER BY w.id) AS place FROM ({sql}) w) p "
            f"WHERE p.place <= {MOST_FAILED} ORDER BY p.place LIMIT {_MOST_SHOWN}",
            [*params],
        )


def _group(
    parent: Any, name: str, status: str, number: int, first: Any, last: Any, *rest: Any
) -> Group:
    amount, done, longest, one = rest
    return Group(
        uuid_of(parent),
        name,
        status,
        number,
        aware(first),
        aware(last),
        amount,
        done,
        None if longest is None else float(longest),
        uuid_of(one) if one else None,
    )
