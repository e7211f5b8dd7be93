"""The probe of the table: one statement that tells whether there is anything to do at all.

An idle worker asks every second, and nearly always the answer is no; each part of it
costs the look into an index that is empty then. Where limits hold tasks back there is more
to ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.clock import later, moment
from cq.status import FOR_THE_CLOCK, TRANSITIONS, Status, sql_list
from cq.tables.limits.queries import newcomer_sql
from cq.workers.ready_pairs import first_of_each
from cq.workers.session_locks import UNLOCKED, can_lock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta


_EXPIRING = TRANSITIONS["expire"].sources
_IS_QUEUED = f"status = '{Status.QUEUED}'"
_IS_WAITING = f"status = '{Status.WAITING}'"
_IS_PENDING = f"status = '{Status.PENDING}'"


class Urgent(NamedTuple):
    """Work that should not wait for the next sweep."""

    due: bool  # tasks whose time has come, or is over
    queued: bool  # tasks that a worker may start
    unlocked: bool  # workers that may be dead
    watched: bool = False  # trees that somebody looks at, who is to be told of changes
    paused: bool = False  # queues or tasks of which nothing is to be started
    newcomers: bool = False  # tasks whose lane may have no row yet
    lanes: bool = False  # lanes, open or held


class Sweepable(NamedTuple):
    """Rows that a sweep may find something in: where there are none, it has nothing to do."""

    claimed: bool
    waiting: bool
    pending: bool
    edges: bool
    limits: bool
    published: bool


def urgent(using: str, now: datetime | None = None) -> Urgent:
    """Look for what should not wait for the next sweep."""
    connection = connections[using]
    now_sql, params = moment(connection, now)
    unlocked = "1 = 0"
    if can_lock(using):
        unlocked = f"EXISTS (SELECT 1 FROM cq_workers WHERE locked AND {UNLOCKED})"
    over = [
        f"{first} <= {now_sql}"
        for column, statuses in (("run_after", FOR_THE_CLOCK), ("expires", _EXPIRING))
        for first in _first_of(connection, column, statuses)
    ]
    sql = (
        f"{' OR '.join(over)},"
        f" {_exists(connection, 'queue', _IS_QUEUED)},"
        f" {unlocked},"
        f" (SELECT MAX(until) FROM cq_watchers) > {now_sql},"
        " (SELECT MAX(kind) FROM cq_pauses) IS NOT NULL,"
        f" {_exists(connection, 'lane', newcomer_sql(connection, 'cq_tasks'))},"
        " (SELECT MAX(id) FROM cq_lanes) IS NOT NULL"
    )
    found = Urgent(*_ask(connection, sql, params * (len(over) + 1)))
    if found.queued and found.lanes and not found.newcomers:
        # What limits hold back is no work, however much of it there is.
        return found._replace(queued=_may_start(using))
    return found


def _may_start(using: str) -> bool:
    """Tell whether there is a lane that is open, or a task without one."""
    connection = connections[using]
    # By the queue alone, other indexes have the lanes in order as well, with all that are
    # held.
    order = "priority DESC, fair" if connection.vendor != "mysql" else "priority, fair"
    is_open = f"SELECT id FROM cq_lanes WHERE held_by IS NULL ORDER BY queue, {order}"
    found = _ask(connection, f"({is_open} LIMIT 1) IS NOT NULL", [])
    return found[0] or bool(first_of_each(using, None, None))


def sweepable(using: str) -> Sweepable:
    """Look for what a sweep would have to look at more closely."""
    connection = connections[using]
    sql = (
        f"{_exists(connection, 'worker_id', 'worker_id IS NOT NULL')},"
        f" {_exists(connection, 'id', _IS_WAITING)},"
        f" {_exists(connection, 'id', _IS_PENDING)},"
        f" {_exists(connection, 'task_id', 'met IS NULL', 'cq_edges')},"
        " (SELECT MAX(id) FROM cq_lanes) IS NOT NULL"
        " OR (SELECT MAX(limit_key) FROM cq_places) IS NOT NULL"
        " OR (SELECT MAX(limit_key) FROM cq_limit_keys) IS NOT NULL,"
        " (SELECT MAX(id) FROM cq_publications) IS NOT NULL"
    )
    return Sweepable(*_ask(connection, sql, []))


def _exists(connection: Any, column: str, where: str, table: str = "cq_tasks") -> str:
    """Return SQL for whether there is such a row. column: by which an index has them."""
    if connection.vendor == "mysql":
        # It would take the order from the primary key, and come past all others.
        return f"EXISTS (SELECT 1 FROM {table} WHERE {where})"
    return f"{_first(column, where, table)} IS NOT NULL"


def _first(column: str, where: str, table: str = "cq_tasks") -> str:
    """Return SQL for the least value of a column, which is the first of its index.

    Not EXISTS, nor with the moment among the conditions: PostgreSQL guesses that a third
    of the rows are past it, or knows of more than there are by now, and reads the table to
    come to one of them. By the order that is asked for only the index is near.
    """
    return f"(SELECT {column} FROM {table} WHERE {where} ORDER BY {column} LIMIT 1)"


def _first_of(connection: Any, column: str, statuses: Iterable[Status]) -> list[str]:
    """Return SQL for the least value of a column in these statuses, in as many parts."""
    parts = [sorted(statuses)]
    if connection.vendor == "mysql":
        # Its index begins with the status: of two at once it would read all rows there are,
        # to put them in order.
        parts = [[status] for status in parts[0]]
    return [
        _first(column, f"status IN ({sql_list(part)}) AND {column} IS NOT NULL")
        for part in parts
    ]


def outlived(
    using: str, spans: dict[Status, timedelta], now: datetime | None = None
) -> list[Status]:
    """Return the statuses of which a root without a `result_ttl` has outlived its span.

    spans: from now, negative.
    """
    connection = connections[using]
    sql, params = [], []
    for status, span in spans.items():
        over, moment_params = later(connection, span, now)
        # The oldest alone: where the planner does not know the moment, it takes a third
        # of the table for older, and reads the table.
        sql.append(
            "(SELECT finished FROM cq_tasks WHERE parent_id IS NULL"
            f" AND result_ttl IS NULL AND status = '{status}'"
            " AND finished IS NOT NULL ORDER BY finished LIMIT 1)"
            f" < (SELECT {over})"
        )
        params += moment_params
    found = _ask(connection, ", ".join(sql), params)
    return [status for status, any_ in zip(spans, found, strict=True) if any_]


def _ask(connection: Any, sql: str, params: list[Any]) -> list[bool]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}", params)
        return [bool(found) for found in cursor.fetchone()]
