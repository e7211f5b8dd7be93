"""The way from the queue into a run, by one function for each kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from cq.db import prepared
from cq.db.clock import moment
from cq.db.statements import any_of
from cq.tables import hydration
from cq.tables.queries import task_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from cq.tables.rows import TaskRow


def claim(
    using: str,
    worker: int,
    where: str,
    params: Sequence[Any],
    limit: int,
    now: datetime | None = None,
    *,
    ids: Sequence[UUID] | None = None,
    index: str = "",
    durable: Sequence[str] | None = None,
) -> list[TaskRow]:
    """QUEUED to RUNNING, for at most `limit` rows that match the SQL `where`.

    ids: the rows that may be meant, which are then to be found by nothing else.

    Raises the fence, counts the attempt and clears the error of the one before. Rows
    that another claim has locked are passed over where the database can; elsewhere
    there is one writer at a time.

    index: what MySQL is to find them by.

    durable: the names of the tasks whose claim has to be on the disk before they start,
    None: of all. Where an atomic task is claimed, a crash of PostgreSQL that loses the
    claim loses all that it may have left in the database too, since that is behind it in
    the same log. For a claim of one.
    """
    if limit <= 0:
        return []
    connection = connections[using]
    now_sql, now_params = moment(connection, now)
    by_id = ids is not None
    if ids is not None:
        these, these_ids = any_of("id", connection, ids)
        where, params = f"{these} AND {where}", [*these_ids, *params]
    skip = "" if connection.vendor == "sqlite" else "FOR UPDATE SKIP LOCKED"
    by = f"FORCE INDEX ({index})" if index and connection.vendor == "mysql" else ""
    # The order in which the index has those of one pair that have no lane. MariaDB would
    # put all in order by a column that is NULL in each; elsewhere by the id alone the
    # primary key might do.
    order = "id" if by_id or connection.vendor == "mysql" else "lane, id"
    # Where the planner knows of no row that is QUEUED, the index of those costs nothing
    # in its eyes, and it would read all of it. What is an expression, no index has.
    by_key = "UPPER(status) = 'QUEUED'"
    queued = by_key if by_id else "status = 'QUEUED'"
    chosen = (
        f"SELECT id FROM cq_tasks {by} WHERE {queued} AND {where} "
        f"AND (expires IS NULL OR attempts > 0 OR expires > {now_sql}) "
        f"ORDER BY {order} LIMIT {int(limit)} {skip}"
    )
    claimed = (
        "UPDATE cq_tasks SET status = 'RUNNING', worker_id = %s, "
        # Before `started`: MariaDB goes from left to right.
        "first_started = COALESCE(first_started, started), "
        f"fence = fence + 1, attempts = attempts + 1, started = {now_sql}, "
        "exception = NULL, traceback = NULL, "
        # Of a subtask that somebody has added, and that has failed already, it stays.
        "error = CASE WHEN outcome IS NULL THEN NULL ELSE error END "
    )
    if connection.vendor == "mysql":
        choice = [*params, *now_params]
        return _claim_stepwise(using, chosen, choice, claimed, [worker, *now_params])
    if connection.vendor == "sqlite" and _FEW < limit <= _MOST:
        choice = [*params, *now_params]
        return _claim_apart(connection, chosen, choice, claimed, [worker, *now_params])
    # Materialized, or the planner may run the inner query again for each outer row
    # and claim more than `limit`.
    sql = (
        f"WITH chosen AS {'MATERIALIZED ' if skip else ''}({chosen}) {claimed}"
        f"WHERE id IN (SELECT id FROM chosen) AND {by_key} "
    )
    params = [*params, *now_params, worker, *now_params]
    if ids is not None and connection.vendor == "postgresql":
        # Of a table that it takes to be small it would else read all for this again.
        sql += f"AND {these} "
        params += these_ids
    sql += f"RETURNING {hydration.columns(connection)}"
    swift = (
        durable is not None
        and limit == 1
        and connection.vendor == "postgresql"
        and not connection.in_atomic_block
    )
    if swift:
        sql += f", {_NOT_WAITING_FOR_THE_DISK}"
        params.append(durable)
    # What names the rows is found by their key, whatever the table has become.
    with prepared.cursor(connection) if by_id else connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows = cursor.fetchall()
        if swift:
            rows = [row[:-1] for row in rows]
        found = hydration.tasks_of(connection, rows)
    return _in_order(found)


def _in_order(found: list[TaskRow]) -> list[TaskRow]:
    # As numbers: UUIDs are compared by a function written in Python.
    return sorted(found, key=lambda task: task.pk.int)


#: Rows that SQLite may give back from within a claim, and the parameters it takes.
_FEW, _MOST = 8, 900


def _claim_apart(
    connection: Any, chosen: str, choice: list[Any], claimed: str, values: list[Any]
) -> list[TaskRow]:
    """Claim many on SQLite, with its write lock held only while they are changed.

    A statement that returns its rows has ended, and gives the lock back, with the last
    of them; and for each one the driver lets other threads of the process run first.
    """
    with connection.cursor() as cursor:
        cursor.execute(chosen, choice)
        ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return []
        these = f"id IN ({', '.join(['%s'] * len(ids))})"
        cursor.execute(
            f"{claimed} WHERE {these} AND status = 'QUEUED'", [*values, *ids]
        )
        if not cursor.rowcount:
            return []
        # Others may have been faster. What had been ours before was not QUEUED above.
        worker, *stamp = values
        cursor.execute(
            f"SELECT {hydration.columns(connection)} FROM cq_tasks"
            f" WHERE {these} AND worker_id = %s AND started = %s",
            [*ids, worker, *stamp],
        )
        found = hydration.tasks_of(connection, cursor.fetchall())
    return _in_order(found)


# For this statement's own transaction.
_NOT_WAITING_FOR_THE_DISK = (
    "CASE WHEN rerun_lost AND NOT name = ANY(%s) AND options -> 'atomic' IS NULL"
    " THEN set_config('synchronous_commit', 'off', true) END"
)


def _claim_stepwise(
    using: str, chosen: str, choice: list[Any], claimed: str, values: list[Any]
) -> list[TaskRow]:
    """Claim where no UPDATE returns its rows: lock them, change them, read them."""
    whole = transaction.atomic(using=using, savepoint=False)
    with whole, connections[using].cursor() as cursor:
        cursor.execute(chosen, choice)
        ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return []
        cursor.execute(f"{claimed} WHERE id IN %s", [*values, ids])
        found = task_model()._base_manager.using(using).filter(pk__in=ids)
        return list(found.order_by("pk"))
