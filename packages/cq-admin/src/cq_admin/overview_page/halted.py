"""What has come to a halt: parents that wait for nothing, and schedules that are not well."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db import connections

from cq.db.statements import uuid_of
from cq.metrics.stuck_parents import stuck_parents_sql
from cq.status import Status, sql_list

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: Runs that are looked at, the newest, and schedules that are named.
MOST_RUNS, MOST_NAMED = 1_000, 5
OVERDUE_AFTER = timedelta(seconds=60)
#: Parents that are named or counted.
MOST_STUCK = 100


class Stuck(NamedTuple):
    """A task that waits, though all its subtasks have settled."""

    id: UUID
    name: str


class BadSchedule(NamedTuple):
    """A schedule that is overdue, or else whose last run has failed."""

    id: Any
    name: str
    is_overdue: bool


class Halted(NamedTuple):
    """All of it, at one moment."""

    parents: list[Stuck]
    schedules: list[BadSchedule]


def halted(using: str, now: datetime) -> Halted:
    """Return what has come to a halt, by one statement; no schedules without cq-scheduler."""
    stuck, params = stuck_parents_sql(using, now, MOST_STUCK)
    sql = f"SELECT p.id, NULL AS schedule, p.name, 0 AS overdue FROM ({stuck}) p"
    if apps.is_installed("cq_scheduler"):
        schedules, more = _schedules_sql(using, now)
        sql, params = f"{sql} UNION ALL {schedules}", [*params, *more]
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        rows = cursor.fetchall()
    return Halted(
        [Stuck(uuid_of(task), name) for task, _, name, _ in rows if task is not None],
        [
            BadSchedule(pk, name, bool(overdue))
            for task, pk, name, overdue in rows
            if task is None
        ],
    )


def _schedules_sql(using: str, now: datetime) -> tuple[str, list[Any]]:
    connection = connections[using]
    late = connection.ops.adapt_datetimefield_value(now - OVERDUE_AFTER)
    yes = "1" if connection.vendor == "sqlite" else "TRUE"
    bad = sql_list({Status.FAILURE, Status.LOST})
    return (
        "SELECT NULL, a.* FROM (SELECT s.id, s.name, 1 AS n FROM cq_repeating_tasks s "
        f"WHERE s.enabled = {yes} AND s.next_run < %s ORDER BY s.next_run "
        f"LIMIT {MOST_NAMED + 1}) a UNION ALL SELECT NULL, b.* FROM ("
        "SELECT s.id, s.name, 0 AS n FROM "
        "(SELECT schedule_id, slot, task_id FROM cq_slots ORDER BY made DESC "
        f"LIMIT {MOST_RUNS}) k JOIN cq_tasks t ON t.id = k.task_id "
        "JOIN cq_repeating_tasks s ON s.id = k.schedule_id AND s.last_run = k.slot "
        f"WHERE t.status IN ({bad}) AND s.enabled = {yes} LIMIT {MOST_NAMED + 1}) b",
        [late],
    )
