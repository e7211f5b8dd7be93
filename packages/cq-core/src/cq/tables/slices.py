"""Rows in the order of their ids, as one index gives them: of a status, or below a task.

What the database is told is such that this index alone has the rows in this order. Left to
choose, PostgreSQL might go through the newest rows of the whole table by the primary key,
to find some that failed a week ago.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from cq.db.statements import uuid_param
from cq.status import ATTENTION, Status

from .queries import has_status, has_tag, tags

if TYPE_CHECKING:
    from django.db.models import QuerySet

#: Statuses that have their rows by an index, in the order of the ids.
SLICED = ATTENTION | {Status.PENDING, Status.WAITING, Status.SUSPENDED}

#: An id, or SQL for one.
Bound = UUID | str


class Slice(NamedTuple):
    """Rows that have one value in one column, the newest first.

    Over the table by its own name, so not within another statement.
    """

    rows: QuerySet[Any, Any]
    #: The column that its index has before the id; "": none.
    column: str = ""
    value: Any = None
    #: What has its index, and the id in it.
    table: str = "cq_tasks"
    key: str = "id"

    def within(self, *bounds: tuple[str, Bound]) -> QuerySet[Any, Any]:
        """Return the rows whose ids are so: ``(("<", id), (">=", other))``."""
        found = self.rows
        for sign, bound in bounds:
            found = found.filter(self._compared(sign, bound))
        return found

    def _compared(self, sign: str, bound: Bound) -> RawSQL:
        connection = connections[self.rows.db]
        params: list[Any] = []
        if isinstance(bound, UUID):
            params.append(uuid_param(connection, bound))
            bound = "%s"
        if not self.column:
            return _condition(f"{self.table}.{self.key} {sign} {bound}", params)
        # Both columns at once are a place in the index, from where it is read on. By the
        # id alone all that lies before would be read as well.
        value = self.value
        if isinstance(value, UUID):
            value = uuid_param(connection, value)
        place = f"{self.table}.{self.column}, {self.table}.{self.key}"
        return _condition(f"({place}) {sign} (%s, {bound})", [value, *params])


def all_of(found: QuerySet[Any, Any]) -> Slice:
    """Return all of these rows, by the primary key."""
    return Slice(found.order_by("-pk"))


def of_status(found: QuerySet[Any, Any], status: Status) -> Slice:
    """Return the rows of a status of `SLICED`; of a name too, where they are of one."""
    if status not in ATTENTION:
        rows = found.filter(has_status(status), status=status)
        return Slice(rows.order_by("-pk"))
    return _slice(found.filter(has_status(*ATTENTION)), "status", status.value)


def of_tag(found: QuerySet[Any, Any], tag: str) -> Slice:
    """Return the rows that have a tag."""
    if "cq_tags" in found.query.alias_map:
        # What the project has joined has the table's name, and the next another.
        return all_of(found.filter(has_tag(found.db, tag)))
    # As a range, as in `_slice`. The table is joined by its own name, too.
    rows = found.filter(tag_rows__tag__gte=tag, tag_rows__tag__lte=tag)
    ordered = rows.order_by("-tag_rows__tag", "-tag_rows__task_id")
    return Slice(ordered, "tag", tag, "cq_tags", "task_id")


def rows_of_tag(using: str, tag: str) -> Slice:
    """Return the rows of a tag itself, one for each task: to be counted, without those."""
    rows = tags(using).filter(tag=tag).order_by("-task_id")
    return Slice(rows, table="cq_tags", key="task_id")


def below(found: QuerySet[Any, Any], parent: UUID) -> Slice:
    """Return the rows right below a task."""
    return _slice(found.filter(parent__isnull=False), "parent_id", parent)


def of_tree(found: QuerySet[Any, Any], root: UUID) -> Slice:
    """Return the rows anywhere below a top-level task."""
    return _slice(found.filter(parent__isnull=False), "root_id", root)


def _slice(found: QuerySet[Any, Any], column: str, value: Any) -> Slice:
    # As a range, for what has one value is not put in order by it: then the primary key
    # would do.
    rows = found.filter(**{f"{column}__gte": value, f"{column}__lte": value})
    return Slice(rows.order_by(f"-{column}", "-pk"), column, value)


def _condition(sql: str, params: list[Any]) -> RawSQL:
    return RawSQL(sql, params, BooleanField())


def queued_of(
    found: QuerySet[Any, Any], queue: str, priority: int
) -> QuerySet[Any, Any]:
    """Return what is QUEUED under a queue and a priority, in the order of its claims.

    Of the tasks without a lane.
    """
    rows = _pair(found, queue, priority).filter(lane__isnull=True)
    if connections[found.db].vendor == "mysql":
        # By what is equal to one value as well, MariaDB would put all in order. Elsewhere
        # that is an order which the primary key does not give.
        return rows.order_by("pk")
    return rows


def with_lanes_of(
    found: QuerySet[Any, Any], queue: str, priority: int
) -> QuerySet[Any, Any]:
    """Return what is QUEUED there and has a lane, one lane after the other."""
    return _pair(found, queue, priority).filter(lane__isnull=False)


def lane_of(
    found: QuerySet[Any, Any], queue: str, priority: int, lane: UUID
) -> QuerySet[Any, Any]:
    """Return what is QUEUED in one lane, in the order of its claims."""
    # As a range, too.
    return _pair(found, queue, priority).filter(lane__gte=lane, lane__lte=lane)


def _pair(found: QuerySet[Any, Any], queue: str, priority: int) -> QuerySet[Any, Any]:
    pair = found.filter(
        has_status(Status.QUEUED),
        status=Status.QUEUED,
        queue=queue,
        priority=priority,
    )
    return pair.order_by("lane", "pk")


def queued(found: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """Return what is QUEUED, one queue after the other."""
    waiting = found.filter(has_status(Status.QUEUED), status=Status.QUEUED)
    return waiting.order_by("queue", "-priority", "lane", "pk")


def running(found: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """Return what is RUNNING, one worker after the other: as many as there are slots."""
    # Nothing else has a worker, and an index has what has one.
    return found.filter(worker__isnull=False).order_by("worker_id")
