"""Withdraws tasks with everything below them, in a bounded number of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections

from . import advance, lifecycle
from .contention import insist
from .rows import tasks
from .statements import as_deep_as_it_goes, uuid_of, uuid_param
from .status import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

#: Fewer than a thousand, see cq.sweep.
CHUNK = 900
REVOKED = "It was revoked."


def revoke(
    using: str, task_id: UUID, reason: str = REVOKED, now: datetime | None = None
) -> bool:
    """Revoke a task and what is open below it; whether the task itself was open.

    Dependants follow as when any predecessor fails. The task goes first: a subtask
    that settles now finds no parent to settle.
    """
    won = _revoke(using, [task_id], reason, now)
    revoked = won + _revoke_below(using, task_id, f"Task {task_id} was revoked.", now)
    advance.settled(using, revoked, now)
    return bool(won)


def _revoke(
    using: str, ids: list[UUID], reason: str, now: datetime | None
) -> list[UUID]:
    return insist(using, lambda: lifecycle.revoke(using, ids, reason, now))


def abandon_children(
    using: str, task_id: UUID, reason: str, now: datetime | None = None
) -> list[UUID]:
    """Revoke the open subtasks of an attempt that is over, and count none of it again.

    Those that are COMPLETE stay readable. Returns the ids that still need
    :func:`cq.advance.settled`, after the caller's commit.
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
    for start in range(0, len(ids), CHUNK):
        some = tasks(using).filter(pk__in=ids[start : start + CHUNK])
        some.update(counted=False)
    return len(ids)


def _revoke_below(
    using: str, task_id: UUID, reason: str, now: datetime | None
) -> list[UUID]:
    revoked: list[UUID] = []
    while True:
        ids = open_below(using, task_id)
        if not ids:
            return revoked
        won: list[UUID] = []
        for start in range(0, len(ids), CHUNK):
            won += _revoke(using, ids[start : start + CHUNK], reason, now)
        revoked += won
        if not won:
            return revoked


def open_below(using: str, task_id: UUID) -> list[UUID]:
    """Return the open descendants of a task, in the order they were made."""
    connection = connections[using]
    open_ = ", ".join(f"'{status}'" for status in sorted(OPEN))
    sql = (
        "WITH RECURSIVE below(id) AS ("
        "SELECT id FROM cq_tasks WHERE parent_id = %s UNION "
        "SELECT t.id FROM cq_tasks t JOIN below ON t.parent_id = below.id)\n"
        "SELECT t.id FROM cq_tasks t JOIN below ON t.id = below.id "
        f"WHERE t.status IN ({open_}) ORDER BY t.id"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            as_deep_as_it_goes(connection, sql), [uuid_param(connection, task_id)]
        )
        return [uuid_of(row[0]) for row in cursor.fetchall()]


def revoke_all(using: str, ids: Iterable[UUID], reason: str = REVOKED) -> int:
    """Revoke several tasks; how many of them were open."""
    return sum(revoke(using, task_id, reason) for task_id in ids)
