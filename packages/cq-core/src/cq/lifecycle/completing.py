"""The end of a run whose function returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db import prepared
from cq.db.clock import moment
from cq.db.statements import array_literal, uuid_of, uuid_param
from cq.status import OPEN, Status, sql_list

from .claims import Claim

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
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
    if not children and result_from is None and _finish(using, held, result, now):
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
    f" AND c.counted AND c.status IN ({sql_list(OPEN)}))"
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
    ids = array_literal(held.id.hex for held, _ in done)
    with prepared.cursor(connection) as cursor:
        cursor.execute(
            # The ids again: by what is joined a table that it takes to be small would be
            # read as a whole.
            f"{sql.format(source=source)} AND cq_tasks.id = ANY(%s::uuid[])"
            " RETURNING cq_tasks.id",
            [
                *now_params,
                ids,
                array_literal(str(held.fence) for held, _ in done),
                array_literal(str(held.worker) for held, _ in done),
                array_literal(result for _, result in done),
                ids,
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
