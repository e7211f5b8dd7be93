"""The reading of a task and what is below it, in one statement."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.statements import uuid_param
from cq.status import FINAL, OPEN, SUCCEEDED, sql_list
from cq.tables.queries import task_model

if TYPE_CHECKING:
    from uuid import UUID

    from cq.tables.rows import TaskRow

#: Characters of an error that are read.
LONGEST_ERROR_READ = 4 * 1024
#: Subtasks from which on their sums are kept a while, and for how many seconds.
MANY = 5_000
KEPT_SECONDS = 5.0
#: Tasks whose sums are kept.
MOST_KEPT = 1_000


class Below(NamedTuple):
    """What is below a task: sums of progress, and its own subtasks by how they stand."""

    tasks: int
    done: float
    total: float
    ok: int
    failed: int
    open: int


_COLUMNS = f"""
    t.id, t.name, t.status, t.root_id, t.attempts, t.fence, t.started,
    t.progress_done, t.progress_total, t.progress_message, t.exception,
    SUBSTR(t.error, 1, {LONGEST_ERROR_READ}) AS short_error,
    (SELECT r.log_lines FROM cq_tasks r WHERE r.id = t.root_id) AS lines_said"""
_ALONE = f"SELECT {_COLUMNS} FROM cq_tasks t WHERE t.id = %s"
# Of a top-level task all that is below counts, of any other what is right below: as in
# `cq.logs.progress`. Two parts, for each has an index, and one of them has no rows.
_WITH_BELOW = f"""
    SELECT {_COLUMNS}, below.* FROM cq_tasks t CROSS JOIN (
        SELECT
            COUNT(*) AS b_count,
            SUM(CASE WHEN status IN ({sql_list(FINAL)}) THEN weight
                ELSE COALESCE(progress_done, 0.0) END) AS b_done,
            SUM(weight) AS b_total,
            SUM(CASE WHEN parent_id = %s AND status IN ({sql_list(SUCCEEDED)})
                THEN 1 ELSE 0 END) AS b_ok,
            SUM(CASE WHEN parent_id = %s AND status IN ({sql_list(FINAL - SUCCEEDED)})
                THEN 1 ELSE 0 END) AS b_failed,
            SUM(CASE WHEN parent_id = %s AND status IN ({sql_list(OPEN)})
                THEN 1 ELSE 0 END) AS b_open
        FROM (
            SELECT status, parent_id, progress_done,
                COALESCE(progress_total, 1.0) AS weight
            FROM cq_tasks WHERE root_id = %s AND parent_id IS NOT NULL AND counted
            UNION ALL
            SELECT status, parent_id, progress_done,
                COALESCE(progress_total, 1.0) AS weight
            FROM cq_tasks WHERE parent_id = %s AND root_id <> %s AND counted
        ) found
    ) below WHERE t.id = %s
"""

_kept: dict[tuple[str, UUID], tuple[float, Below]] = {}


def read_row(using: str, task_id: UUID) -> tuple[TaskRow, Below] | None:
    """Return a task as it is now and the sums below it; None where there is none.

    The sums of a large tree may be some seconds old.
    """
    key = using, task_id
    moment, below = _kept.get(key, (0.0, None))
    if below is not None and time.monotonic() - moment > KEPT_SECONDS:
        del _kept[key]
        below = None
    param = uuid_param(connections[using], task_id)
    sql, count = (_WITH_BELOW, 7) if below is None else (_ALONE, 1)
    rows: Any = task_model()._base_manager.db_manager(using).raw(sql, [param] * count)
    row: Any = next(iter(rows), None)
    if row is None:
        return None
    if below is None:
        below = _below(row)
        if below.tasks >= MANY:
            _keep(key, below)
    return row, below


def _below(row: Any) -> Below:
    return Below(
        int(row.b_count),
        float(row.b_done or 0),
        float(row.b_total or 0),
        int(row.b_ok or 0),
        int(row.b_failed or 0),
        int(row.b_open or 0),
    )


def _keep(key: tuple[str, UUID], below: Below) -> None:
    if len(_kept) >= MOST_KEPT:
        _kept.clear()
    _kept[key] = time.monotonic(), below
