"""The tasks that have finished of late: at most some thousand, found by their end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.clock import database_now, moment
from cq.status import FINAL, Status
from cq.tables.readiness import READY_SQL

from .families import MOST_FINISHED, WINDOW
from .moments import aware, epoch, epoch_sql

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

#: Different values of `result_ttl` that are looked at.
MOST_TTLS = 10


class Ended(NamedTuple):
    """A finished task. took, waited: seconds; None: it did not run."""

    queue: str
    name: str
    status: Status
    took: float | None
    waited: float | None


class Finished(NamedTuple):
    """What has finished since `window` seconds ago. capped: more have in `WINDOW`."""

    tasks: list[Ended]
    window: float
    capped: bool


_ROOTS = "t.parent_id IS NULL AND t.finished IS NOT NULL"
_TTL = f"SELECT t.result_ttl FROM cq_tasks t{{hint}} WHERE {_ROOTS} AND t.result_ttl"
# One descent into ``cq_prunable`` for each value: to the first entry behind all of one
# value. As a mere `result_ttl >` PostgreSQL might take it for many rows, and read them all.
_TTLS = f"""
    WITH RECURSIVE ttls(ttl) AS (
        SELECT ({_TTL} IS NOT NULL ORDER BY t.result_ttl, t.finished LIMIT 1)
        UNION ALL
        SELECT (
            {_TTL} IS NOT NULL AND (t.result_ttl, t.finished) > (v.ttl, 'infinity')
            ORDER BY t.result_ttl, t.finished LIMIT 1
        )
        FROM ttls v WHERE v.ttl IS NOT NULL
    )
    SELECT {{now}}, v.ttl FROM ttls v LIMIT {MOST_TTLS}
"""


def now_and_ttls(
    using: str, now: datetime | None = None
) -> tuple[datetime, list[float]]:
    """Return the database's time, and each `result_ttl` of a finished task.

    One statement, but for MariaDB, which bounds no index by what the row before has.
    """
    connection = connections[using]
    if connection.vendor == "mysql":
        return now or database_now(using), _ttls_stepwise(using)
    sql, params = moment(connection, now)
    with connection.cursor() as cursor:
        cursor.execute(_TTLS.format(hint="", now=sql), params)
        rows = cursor.fetchall()
    present = aware(rows[0][0])
    assert present is not None
    return present, [ttl for _, ttl in rows if ttl is not None]


def _ttls_stepwise(using: str) -> list[float]:
    ttl = _TTL.format(hint=" FORCE INDEX (cq_prunable)")
    found: list[float] = []
    with connections[using].cursor() as cursor:
        while len(found) < MOST_TTLS:
            above = "IS NOT NULL" if not found else "> %s"
            cursor.execute(f"{ttl} {above} ORDER BY t.result_ttl LIMIT 1", found[-1:])
            row = cursor.fetchone()
            if row is None:
                break
            found.append(row[0])
    return found


def finished(using: str, now: datetime, ttls: Sequence[float]) -> Finished:
    """Return what finished within `WINDOW` before `now`; one statement.

    The top-level tasks by the indexes that pruning has, of each outcome and of each time
    to live. No index has the ends of subtasks: they are looked for among the newest rows.
    """
    connection = connections[using]
    since = now - timedelta(seconds=WINDOW)
    sql, params = _statement(
        connection.vendor, connection.ops.adapt_datetimefield_value(since), ttls
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows = [_ended(*row) for row in cursor.fetchall()]
    roots = sorted((end for top, _, end in rows if top), reverse=True)
    capped = len(roots) >= MOST_FINISHED
    # All statuses over the same time, so that they can be compared.
    start = roots[MOST_FINISHED - 1] if capped else since.timestamp()
    tasks = [ended for _, ended, end in rows if end >= start]
    return Finished(tasks, max(0.001, now.timestamp() - start), capped)


_STATUS = {status.value: status for status in FINAL}
_OF_NEWEST = (
    "n.parent_id, n.queue, n.name, n.status, n.submitted, n.ready, n.started, "
    "n.finished"
)


def _statement(vendor: str, since: Any, ttls: Sequence[float]) -> tuple[str, list[Any]]:
    """Return the statement with its parameters."""
    moments = ("t.started", READY_SQL, "t.finished")
    started, ready, end = (epoch_sql(vendor, moment) for moment in moments)
    columns = (
        f"t.queue, t.name, t.status, {started} AS began, {ready} AS ready, "
        f"{end} AS ended"
    )
    arms: list[str] = []
    params: list[Any] = []

    def add(index: str, condition: str, *values: Any) -> None:
        hint = f" FORCE INDEX ({index})" if vendor == "mysql" else ""
        arms.append(
            f"SELECT 1 AS top, a.* FROM (SELECT {columns} FROM cq_tasks t{hint} "
            f"WHERE {_ROOTS} AND {condition} AND t.finished >= %s "
            f"ORDER BY t.finished DESC LIMIT {MOST_FINISHED}) a"
        )
        params.extend([*values, since])

    for status in sorted(FINAL):
        where = f"t.result_ttl IS NULL AND t.status = '{status}'"
        add("cq_prunable_by_setting", where)
    for ttl in ttls:
        where = "t.result_ttl IS NOT NULL AND t.result_ttl = %s"
        add("cq_prunable", where, ttl)
    roots = (
        f"SELECT u.* FROM ({' UNION ALL '.join(arms)}) u "
        f"ORDER BY u.ended DESC LIMIT {MOST_FINISHED}"
    )
    subtasks = (
        f"SELECT 0, {columns} FROM (SELECT {_OF_NEWEST} FROM cq_tasks n "
        f"ORDER BY n.id DESC LIMIT {MOST_FINISHED}) t "
        "WHERE t.parent_id IS NOT NULL AND t.finished >= %s"
    )
    return f"SELECT r.* FROM ({roots}) r UNION ALL {subtasks}", [*params, since]


def _ended(
    top: int, queue: str, name: str, status: str, started: Any, ready: Any, ended: Any
) -> tuple[int, Ended, float]:
    """Return whether a row is a top-level task, what ended, and when."""
    began, end, could = epoch(started), epoch(ended), epoch(ready)
    assert end is not None
    assert could is not None
    took = waited = None
    if began is not None:
        took = max(0.0, end - began)
        waited = max(0.0, began - could)
    return top, Ended(queue, name, _STATUS[status], took, waited), end
