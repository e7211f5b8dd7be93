"""The end of a run: it returned, it raised, or its last subtask has settled."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Case, F, Value, When

from cq import prepared
from cq.clock import Moment, moment
from cq.codec import Encoded
from cq.rows import tasks
from cq.statements import array_literal, update_one, uuid_of, uuid_param
from cq.status import FAILED, OPEN, Status
from cq.text import LONGEST_ERROR, storable

from .guards import (
    Claim,
    Failure,
    failed_children,
    held_by,
    movable,
    open_children,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


def complete(
    using: str,
    held: Claim,
    result: str | None,
    *,
    result_from: UUID | None = None,
    children: int = 0,
    now: datetime | None = None,
) -> Status | None:
    """RUNNING to COMPLETE or INCOMPLETE, or to WAITING while a subtask is open.

    `children` counts the subtasks that this run has made. Returns WAITING, COMPLETE
    (which stands for INCOMPLETE here too), or None when the claim was given away. It is
    the hottest statement of all, so it is written out: building it by the ORM costs as
    much as running it.
    """
    if not children and _finish(using, held, result, now):
        return Status.COMPLETE
    connection = connections[using]
    with prepared.cursor(connection) as cursor:
        cursor.execute(
            "UPDATE cq_tasks SET status = 'WAITING', worker_id = NULL, result = %s, "
            "result_from = %s, open_children = open_children + %s "
            f"WHERE id = %s AND fence = %s AND {HOLDER} = %s",
            [
                result,
                uuid_param(connection, result_from),
                children,
                uuid_param(connection, held.id),
                held.fence,
                held.worker,
            ],
        )
        return Status.WAITING if cursor.rowcount == 1 else None


def _finish(using: str, held: Claim, result: str | None, now: datetime | None) -> bool:
    connection = connections[using]
    now_sql, now_params = moment(connection, now)
    with prepared.cursor(connection) as cursor:
        cursor.execute(
            "UPDATE cq_tasks SET status = COALESCE(outcome, 'COMPLETE'), result = %s, "
            f"finished = {now_sql}, worker_id = NULL, unique_key = NULL "
            f"WHERE id = %s AND fence = %s AND {HOLDER} = %s AND {NO_OPEN_CHILD}",
            [
                result,
                *now_params,
                uuid_param(connection, held.id),
                held.fence,
                held.worker,
            ],
        )
        return bool(cursor.rowcount == 1)


# Where the planner knows of no row that runs, the index of those costs nothing in its
# eyes, and it would read all its dead entries. So this is an expression, which no index
# has, and one that may be of a NULL: else PostgreSQL infers that the column is not.
HOLDER = "COALESCE(cq_tasks.worker_id, 0)"

# The counter as well: an UPDATE that waited for the lock of somebody who adds a subtask
# looks at the row anew (PostgreSQL's EvalPlanQual), but not at the subtasks. Where the
# hint is wrong, the task is WAITING for a moment.
NO_OPEN_CHILD = (
    "open_children <= 0 AND NOT EXISTS"
    " (SELECT 1 FROM cq_tasks c WHERE c.parent_id = cq_tasks.id"
    f" AND c.counted AND c.status IN ({', '.join(repr(str(s)) for s in sorted(OPEN))}))"
)


def complete_many(
    using: str, done: Sequence[tuple[Claim, str | None]], now: datetime | None = None
) -> set[UUID]:
    """RUNNING to COMPLETE, for runs that made no subtasks; the ids of those that won.

    One statement, but on MySQL. What it leaves out is for `complete` to look at: the
    claim may be lost, or somebody has added a subtask from outside.
    """
    connection = connections[using]
    if connection.vendor == "mysql":
        return {held.id for held, result in done if _finish(using, held, result, now)}
    many = _many_on_postgresql if connection.vendor == "postgresql" else _many_on_sqlite
    now_sql, now_params = moment(connection, now)
    sql = (
        "UPDATE cq_tasks SET status = COALESCE(outcome, 'COMPLETE'), "
        f"result = d.result, finished = {now_sql}, worker_id = NULL, "
        "unique_key = NULL FROM {source} "
        "WHERE cq_tasks.id = d.id AND cq_tasks.fence = d.fence "
        f"AND {HOLDER} = d.worker AND {NO_OPEN_CHILD} "
    )
    return many(connection, sql, now_params, done)


_Done = tuple[Claim, str | None]


def _many_on_postgresql(
    connection: Any, sql: str, now_params: list[Any], done: Sequence[_Done]
) -> set[UUID]:
    source = (
        "unnest(%s::uuid[], %s::int[], %s::bigint[], %s::text[]) "
        "AS d(id, fence, worker, result)"
    )
    with prepared.cursor(connection) as cursor:
        cursor.execute(
            f"{sql.format(source=source)} RETURNING cq_tasks.id",
            [
                *now_params,
                array_literal(held.id.hex for held, _ in done),
                array_literal(str(held.fence) for held, _ in done),
                array_literal(str(held.worker) for held, _ in done),
                array_literal(result for _, result in done),
            ],
        )
        return {row[0] for row in cursor.fetchall()}


#: Four parameters each, of the 999 that any SQLite takes.
_MANY_ON_SQLITE = 200


def _many_on_sqlite(
    connection: Any, sql: str, now_params: list[Any], done: Sequence[_Done]
) -> set[UUID]:
    won: set[UUID] = set()
    for start in range(0, len(done), _MANY_ON_SQLITE):
        part = done[start : start + _MANY_ON_SQLITE]
        values = ", ".join(["(%s, %s, %s, %s)"] * len(part))
        params: list[Any] = []
        for held, result in part:
            params += [uuid_param(connection, held.id), held.fence, held.worker, result]
        source = (
            "(SELECT column1 AS id, column2 AS fence, column3 AS worker, "
            f"column4 AS result FROM (VALUES {values})) AS d"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql.format(source=source), [*now_params, *params])
            # It returns no rows: the write lock would be held until all are read.
            if cursor.rowcount == len(part):
                won |= {held.id for held, _ in part}
                continue
            ids = params[::4]
            marks = ", ".join(["%s"] * len(ids))
            cursor.execute(
                f"SELECT id, fence FROM cq_tasks WHERE id IN ({marks})"
                " AND worker_id IS NULL AND finished = %s",
                [*ids, *now_params],
            )
            fences = {uuid_of(task_id): fence for task_id, fence in cursor.fetchall()}
            won |= {held.id for held, _ in part if fences.get(held.id) == held.fence}
    return won


def fail(
    using: str,
    held: Claim,
    failure: Failure,
    *,
    children: int = 0,
    now: datetime | None = None,
) -> Status | None:
    """RUNNING to FAILURE, or to WAITING while a subtask is open.

    Returns the new status, or None when the claim was given away.
    """
    mine: dict[str, Any] = {
        **failure._asdict(),
        "outcome": Status.FAILURE,
        "failures": F("failures") + 1,
        "result": None,
    }
    # The counter as well, see NO_OPEN_CHILD.
    finished = held_by(using, held).filter(~open_children(), open_children__lte=0)
    if not children and finished.update(**mine, **settled(Status.FAILURE, now)):
        return Status.FAILURE
    waiting = held_by(using, held).update(
        **mine,
        status=Status.WAITING,
        worker=None,
        open_children=F("open_children") + children,
    )
    return Status.WAITING if waiting else None


def postpone(
    using: str,
    held: Claim,
    failure: Failure,
    delay: float,
    now: datetime | None = None,
) -> bool:
    """RUNNING to RETRY: the next attempt starts `delay` seconds from now."""
    return bool(
        held_by(using, held).update(
            **failure._asdict(),
            status=Status.RETRY,
            worker=None,
            outcome=None,
            open_children=0,
            failures=F("failures") + 1,
            run_after=Moment(now, timedelta(seconds=delay)),
        )
    )


def settle(using: str, task_id: UUID, now: datetime | None = None) -> Status | None:
    """WAITING to its outcome, once no counted subtask is open.

    Where another task was returned, its result takes the place of the function's own.
    """
    # Who failed may not have told yet, and would find it settled.
    status = Case(
        When(outcome__isnull=False, then=F("outcome")),
        When(failed_children(), then=Value(Status.INCOMPLETE.value)),
        default=Value(Status.COMPLETE.value),
    )
    # The counter was a hint; that none is open is what the statement sees.
    values = {**settled(status, now), "open_children": 0}
    waits = movable("settle", using)
    features = connections[using].features
    with transaction.atomic(using=using):
        if features.has_select_for_update:
            # By a statement of its own, so that the next one sees the subtasks of all
            # who had the lock before. SQLite has one writer at a time.
            no_key = features.has_select_for_no_key_update
            locked = waits.select_for_update(no_key=no_key)
            list(locked.filter(pk=task_id).values_list("pk"))
        won = update_one(
            waits.filter(~open_children()),
            task_id,
            ("status", "outcome", "result_from"),
            **values,
        )
        if won is None:
            return None
        ended, outcome, source = won
        if source is not None:
            _take_result(using, task_id, source)
        if ended == Status.INCOMPLETE and outcome is None:
            _say_who_failed(using, task_id)
    return Status(ended)


def _take_result(using: str, task_id: UUID, source: UUID) -> None:
    # Not before: until no subtask was open, the source may still have had none.
    taken = tasks(using).filter(pk=source).values_list("result").first()
    result = (taken and taken[0]) or Encoded("null")
    tasks(using).filter(pk=task_id).update(result=result)


def _say_who_failed(using: str, task_id: UUID) -> None:
    failed = tasks(using).filter(
        parent=task_id, counted=True, status__in=sorted(FAILED)
    )
    child = failed.values_list("name", "pk", "status", "error").first()
    if child is not None:
        name, pk, status, error = child
        reason = storable(f"subtask {name} {pk} is {status}: {error}", LONGEST_ERROR)
        tasks(using).filter(pk=task_id, error=None).update(error=reason)
