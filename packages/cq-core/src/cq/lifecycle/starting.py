"""On to the queue, into a run, and back to the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Exists, F, OuterRef, Q

from cq import loading, prepared
from cq.clock import Moment, moment
from cq.rows import edges, task_model
from cq.statements import update_returning
from cq.status import Status

from .guards import Claim, held_by, movable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from cq.models import Task


def queue(
    using: str, ids: Iterable[UUID], now: datetime | None = None
) -> list[tuple[UUID, str]]:
    """PENDING to QUEUED, for those that wait for nothing; (id, queue) of each."""
    open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    ready = movable("queue", using).filter(
        ~Exists(open_edges),
        Q(run_after__isnull=True) | Q(run_after__lte=Moment(now)),
        pk__in=list(ids),
    )
    return update_returning(ready, ("queue",), status=Status.QUEUED)


def queue_due(
    using: str, limit: int, now: datetime | None = None
) -> list[tuple[UUID, str]]:
    """PENDING and RETRY to QUEUED, for at most `limit` whose time has come."""
    due = {"run_after__isnull": False, "run_after__lte": Moment(now)}
    moved: list[tuple[UUID, str]] = []
    open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    for verb, waits in (("queue", ~Exists(open_edges)), ("requeue", Q())):
        ids = (
            movable(verb, using)
            .filter(waits, **due)
            .order_by("run_after")
            .values_list("pk", flat=True)[:limit]
        )
        # The time again: it may have run, failed and been put off since.
        found = movable(verb, using).filter(waits, **due, pk__in=list(ids))
        moved += update_returning(found, ("queue",), status=Status.QUEUED)
    return moved


def claim(
    using: str,
    worker: int,
    where: str,
    params: Sequence[Any],
    limit: int,
    now: datetime | None = None,
    *,
    by_id: bool = False,
    index: str = "",
    durable: Sequence[str] | None = None,
) -> list[Task]:
    """QUEUED to RUNNING, for at most `limit` rows that match the SQL `where`.

    by_id: whether `where` names the rows, which are then to be found by nothing else.

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
    skip = "" if connection.vendor == "sqlite" else "FOR UPDATE SKIP LOCKED"
    by = f"FORCE INDEX ({index})" if index and connection.vendor == "mysql" else ""
    # Where the planner knows of no row that is QUEUED, the index of those costs nothing
    # in its eyes, and it would read all of it. What is an expression, no index has.
    by_key = "UPPER(status) = 'QUEUED'"
    queued = by_key if by_id else "status = 'QUEUED'"
    chosen = (
        f"SELECT id FROM cq_tasks {by} WHERE {queued} AND {where} "
        f"AND (expires IS NULL OR attempts > 0 OR expires > {now_sql}) "
        f"ORDER BY id LIMIT {int(limit)} {skip}"
    )
    claimed = (
        "UPDATE cq_tasks SET status = 'RUNNING', worker_id = %s, "
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
        f"RETURNING {loading.columns(connection)}"
    )
    params = [*params, *now_params, worker, *now_params]
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
        found = loading.tasks_of(connection, rows)
    return _in_order(found)


def _in_order(found: list[Task]) -> list[Task]:
    # As numbers: UUIDs are compared by a function written in Python.
    return sorted(found, key=lambda task: task.pk.int)


#: Rows that SQLite may give back from within a claim, and the parameters it takes.
_FEW, _MOST = 8, 900


def _claim_apart(
    connection: Any, chosen: str, choice: list[Any], claimed: str, values: list[Any]
) -> list[Task]:
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
            f"SELECT {loading.columns(connection)} FROM cq_tasks"
            f" WHERE {these} AND worker_id = %s AND started = %s",
            [*ids, worker, *stamp],
        )
        found = loading.tasks_of(connection, cursor.fetchall())
    return _in_order(found)


# For this statement's own transaction.
_NOT_WAITING_FOR_THE_DISK = (
    "CASE WHEN rerun_lost AND NOT name = ANY(%s) AND options -> 'atomic' IS NULL"
    " THEN set_config('synchronous_commit', 'off', true) END"
)


def _claim_stepwise(
    using: str, chosen: str, choice: list[Any], claimed: str, values: list[Any]
) -> list[Task]:
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


def hand_back(using: str, claims: Iterable[Claim]) -> list[tuple[UUID, str]]:
    """RUNNING to QUEUED, for a worker that stops; no attempt is counted."""
    back: list[tuple[UUID, str]] = []
    for held in claims:
        back += update_returning(
            held_by(using, held),
            ("queue",),
            status=Status.QUEUED,
            worker=None,
            started=None,
            fence=F("fence") + 1,
            attempts=F("attempts") - 1,
        )
    return back
