"""The revocation of tasks with everything below them, in a bounded number of queries."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import connections, transaction

from cq import lifecycle
from cq.db.conflicts import retry_on_conflict
from cq.db.statements import (
    BATCH,
    any_of,
    unlimited_recursion,
    uuid_of,
    uuid_param,
)
from cq.hooks import cut_off
from cq.runs.run import current_run
from cq.status import OPEN, Status, sql_list
from cq.tables.queries import tasks

from . import advance, compensation

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

REVOKED = "It was revoked."


def revoke(
    using: str,
    task_id: UUID,
    reason: str = REVOKED,
    now: datetime | None = None,
    by: str | None = None,
    *,
    compensate: bool = True,
) -> bool:
    """Revoke a task and what is open below it; whether the task itself was open.

    by: who asks for it, for the history of the task. compensate: whether durable ones
    take back what they did, which those do that are at it.
    Dependants follow as when any predecessor fails. The task goes first: a subtask
    that settles now finds no parent to settle.
    """
    won = revoke_alone(using, [task_id], reason, now, by, compensate)
    why = f"Task {task_id} was revoked."
    revoked = won + _revoke_below(using, task_id, why, now, compensate)
    advance.after_settled(using, revoked, now)
    return bool(won)


def revoke_from_here(
    using: str, task_id: UUID, reason: str, *, compensate: bool = True
) -> bool:
    """As `revoke`, by code that may run inside a task.

    An atomic run that revokes itself, or what it is below, undoes that with all else:
    it is noted in the run, and done once more behind it.
    """
    won = revoke(using, task_id, reason, compensate=compensate)
    run = current_run()
    if won and run is not None and run.atomic:
        held = tasks(run.using).filter(pk=run.claim.id, fence=run.claim.fence)
        if not held.exists():
            again = (task_id, reason, compensate)
            run.revocations = [*(run.revocations or []), again]
    return won


def revoke_many(
    using: str,
    ids: list[UUID],
    reason: str = REVOKED,
    now: datetime | None = None,
    by: str | None = None,
    *,
    compensate: bool = True,
) -> int:
    """Revoke several tasks and what is open below them; how many of them were open.

    By one statement for the tasks, and those of `revoke` for each that has subtasks.
    """
    won = revoke_alone(using, ids, reason, now, by, compensate)
    revoked = list(won)
    children = tasks(using).filter(parent__in=ids)
    parents = set(children.values_list("parent", flat=True).distinct())
    for parent in [task_id for task_id in ids if task_id in parents]:
        below = _revoke_below(
            using, parent, f"Task {parent} was revoked.", now, compensate
        )
        revoked += below
    advance.after_settled(using, revoked, now)
    return len(won)


def withdraw(
    using: str,
    ids: list[UUID],
    reason: str,
    now: datetime | None = None,
    only: frozenset[Status] = OPEN,
    by: str | None = None,
) -> list[UUID]:
    """Revoke these tasks and nothing below them; the ids of those that were open.

    only: the statuses that they may have. by: who asks for it, for their history.
    What depends on them follows behind the commit of the open transaction.
    """
    with transaction.atomic(using=using, savepoint=False):
        won = lifecycle.revoke(using, ids, reason, now, only, by)
        compensation.begin(using, won)
    cut_off.tell(using, won)
    transaction.on_commit(partial(advance.after_settled, using, won, now), using=using)
    return won


def revoke_alone(
    using: str,
    ids: list[UUID],
    reason: str,
    now: datetime | None,
    by: str | None = None,
    compensate: bool = True,
) -> list[UUID]:
    """Revoke these tasks and nothing below them; the ids of those that were open.

    Some may be WAITING by that, see `compensation`; who depends on the others is for
    :func:`cq.workflow.advance.after_settled`.
    """

    def change() -> list[UUID]:
        with transaction.atomic(using=using, savepoint=False):
            won = lifecycle.revoke(using, ids, reason, now, by=by)
            if compensate:
                compensation.begin(using, won)
            return won

    won = retry_on_conflict(using, change)
    cut_off.tell(using, won)
    return won


def abandon_children(
    using: str, task_id: UUID, reason: str, now: datetime | None = None
) -> list[UUID]:
    """Revoke the open subtasks of an attempt that is over, and count none of it again.

    Those that are COMPLETE stay readable. Returns the ids that still need
    :func:`cq.workflow.advance.after_settled`, after the caller's commit.
    """
    revoked = _revoke_below(using, task_id, reason, now)
    if _uncount_children(using, task_id):
        tasks(using).filter(pk=task_id).update(open_children=0)
    return revoked


def _uncount_children(using: str, task_id: UUID) -> int:
    counted = tasks(using).filter(parent=task_id, counted=True)
    if connections[using].vendor != "mysql":
        return counted.update(counted=False)
    # By their ids, or it waits for those that the attempt has not committed, and a
    # process that is frozen never will.
    ids = list(counted.values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        some = tasks(using).filter(pk__in=ids[start : start + BATCH])
        some.update(counted=False)
    return len(ids)


def _revoke_below(
    using: str,
    task_id: UUID,
    reason: str,
    now: datetime | None,
    compensate: bool = True,
) -> list[UUID]:
    revoked: list[UUID] = []
    while True:
        ids = open_below(using, [task_id], compensate=compensate)
        if not ids:
            return revoked
        won: list[UUID] = []
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]
            won += revoke_alone(using, some, reason, now, compensate=compensate)
        revoked += won
        if not won:
            return revoked


def open_below(using: str, ids: list[UUID], *, compensate: bool = True) -> list[UUID]:
    """Return the open descendants of some tasks, in the order they were made.

    compensate: without those that take back what a durable task did, and without that.
    """
    connection = connections[using]
    open_ = sql_list(OPEN)
    children, own, at_it = "cq_tasks t ON t.parent_id = below.id", "", ""
    if compensate:
        own, at_it = f" AND {_NO_UNDO}", f" AND {_NOT_AT_IT}"
    if connection.vendor == "postgresql":
        # One parent at a time, by the index: where few have very many children, the
        # planner takes each for one of those, and would rather read all of the table. Of
        # what lies between two bounds it expects a part of it only.
        children = (
            "LATERAL (SELECT c.id, c.parent_id, c.status FROM cq_tasks c"
            " WHERE c.parent_id BETWEEN below.id AND below.id OFFSET 0) t ON TRUE"
        )
    these, params = any_of("parent_id", connection, ids)
    sql = (
        "WITH RECURSIVE below(id, status) AS ("
        f"SELECT id, status FROM cq_tasks WHERE {these}{own.format('cq_tasks')} UNION "
        f"SELECT t.id, t.status FROM below JOIN {children}"
        f"{own.format('t').replace(' AND', ' WHERE', 1)})\n"
        f"SELECT id FROM below WHERE status IN ({open_}){at_it} ORDER BY id"
    )
    with connection.cursor() as cursor:
        cursor.execute(unlimited_recursion(connection, sql), params)
        return [uuid_of(row[0]) for row in cursor.fetchall()]


# One look by the index for each: as a join it would read all steps.
_NO_UNDO = (
    "(SELECT 1 FROM cq_steps s WHERE s.task_id = {0}.parent_id"
    " AND s.undone_by = {0}.id AND s.undo_task IS NOT NULL LIMIT 1) IS NULL"
)
_NOT_AT_IT = (
    "(status <> 'WAITING' OR (SELECT 1 FROM cq_steps s WHERE s.task_id = below.id"
    " AND s.undone_by IS NOT NULL AND s.undo_task IS NOT NULL LIMIT 1) IS NULL)"
)


def count_open_below(using: str, task_id: UUID, most: int) -> int:
    """Return how many open descendants a task has, up to `most` and one more.

    For people: the few under what has settled meanwhile, which nobody waits for, are
    left out, so that no row is read that has settled.
    """
    connection = connections[using]
    is_open = f"counted AND status IN ({sql_list(OPEN)})"
    children = f"cq_tasks t ON t.parent_id = below.id AND t.{is_open}"
    if connection.vendor == "postgresql":
        # As above.
        children = (
            "LATERAL (SELECT c.id FROM cq_tasks c WHERE c.parent_id BETWEEN below.id "
            f"AND below.id AND c.{is_open} OFFSET 0) t ON TRUE"
        )
    sql = (
        "WITH RECURSIVE below(id) AS ("
        f"SELECT id FROM cq_tasks WHERE parent_id = %s AND {is_open} UNION "
        f"SELECT t.id FROM below JOIN {children})\n"
        f"SELECT COUNT(*) FROM (SELECT id FROM below LIMIT {most + 1}) found"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            unlimited_recursion(connection, sql), [uuid_param(connection, task_id)]
        )
        return int(cursor.fetchone()[0])
