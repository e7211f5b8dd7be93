"""The taking back of what a durable task did, once that has ended badly.

The tasks that do it are recorded in the transaction of the end, behind the statement
that ends it: what a step commits until then is seen, and nothing comes after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from cq import lifecycle
from cq.db.statements import BATCH
from cq.errors import NotRetryable, UniqueTaken
from cq.status import FAILED, OPEN, Status
from cq.tables.durable.queries import to_undo, undos
from cq.tables.queries import tasks
from cq.tables.values import unique_key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.durable.rows import StepRow
    from cq.tables.rows import TaskRow

    Recorder = Callable[[str, TaskRow, list[StepRow]], None]

#: Of :mod:`cq.durable`, which is above: records the tasks that take some steps back, in the
#: order of these.
recorders: list[Recorder] = []


def begin(using: str, ids: Sequence[UUID]) -> list[UUID]:
    """Have those of some tasks that have just ended badly take back what they did.

    In the transaction of their end. Returns the ids of those that are WAITING for it now,
    which are final once it is done. One that was at it already goes on.
    """
    return [task_id for task_id in owners(using, ids) if _begin(using, task_id)]


def owners(using: str, ids: Sequence[UUID]) -> list[UUID]:
    """Return those of some tasks that have steps with an `undo`, the oldest first."""
    found: set[UUID] = set()
    for start in range(0, len(ids), BATCH):
        some = undos(using).filter(task__in=ids[start : start + BATCH])
        found.update(some.values_list("task_id", flat=True).distinct())
    return sorted(found)


def _begin(using: str, task_id: UUID) -> bool:
    steps = list(to_undo(using).filter(task=task_id).order_by("-finished", "-pk"))
    begun = compensations(using, task_id).filter(status__in=sorted(OPEN)).count()
    if not steps and not begun:
        return False
    task = tasks(using).filter(pk=task_id).first()
    if task is None:
        return False
    key = unique_key_of(task.options)
    try:
        won = lifecycle.compensate(using, task_id, key, begun)
    except UniqueTaken:
        # It had begun without its key, as what is debounced, or reopened, may.
        won = lifecycle.compensate(using, task_id, None, begun)
    if not won:
        return False
    if steps:
        for record in recorders:
            record(using, task, steps)
        undos(using).bulk_update(steps, ["undone_by"], batch_size=BATCH)
    return True


def at_it(using: str, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of some tasks that wait for what takes back their steps."""
    waiting = tasks(using).filter(lifecycle.is_undone(using), pk__in=ids)
    found = waiting.filter(status=Status.WAITING)
    return set(found.values_list("pk", flat=True))


def compensations(using: str, task_id: UUID) -> QuerySet[TaskRow]:
    """Return the tasks that take back what a task did."""
    undone = undos(using).filter(task=task_id, undone_by__isnull=False)
    return tasks(using).filter(parent=task_id, pk__in=undone.values("undone_by"))


def settle(using: str, task_id: UUID, now: datetime | None = None) -> bool:
    """Settle a WAITING task if no counted subtask is open; whether it is final by that."""
    with transaction.atomic(using=using):
        status = lifecycle.settle(using, task_id, now)
        if status is None:
            return False
        return status not in FAILED or not begin(using, [task_id])


def check_is_due(using: str, task_id: UUID, what: str) -> None:
    """Raise NotRetryable where the step that a task takes back is done anew, or stays done.

    what: the task, for people. In the transaction of its retry, behind its own row.
    """
    parent = tasks(using).filter(pk=task_id).values("parent")
    if not undos(using).filter(task__in=parent, undone_by=task_id).exists():
        raise NotRetryable(
            f"{what} takes back what its parent did, which has been run again since; what "
            "that has done by now is taken back by other tasks, if it ends badly"
        )


def undone(using: str, task_id: UUID) -> list[int]:
    """Return the steps of a task that were taken back, which its next run is to do again.

    Those whose compensation did not succeed stay done, and what was recorded for them
    counts no more. In the transaction of a retry. Raises NotRetryable while one is open,
    which somebody has retried: it would take back what is done again.
    """
    taken_back = undos(using).filter(task=task_id, undone_by__isnull=False)
    rows = list(taken_back.values_list("pk", "undone_by"))
    kept: set[UUID] = set()
    made = [by for _, by in rows if by is not None]
    for start in range(0, len(made), BATCH):
        ids = made[start : start + BATCH]
        by_them = tasks(using).filter(parent=task_id, pk__in=ids)
        # What was done for an end that counts no more is history. Before the look: a
        # retry of one that is under way has its row.
        by_them.update(counted=False)
        is_open = (
            by_them.filter(status__in=sorted(OPEN)).values_list("pk", "name").first()
        )
        if is_open is not None:
            raise NotRetryable(
                f"{is_open[1]} {is_open[0]} takes back what task {task_id} did; retry "
                "this one once that has ended"
            )
        failed = by_them.filter(status__in=sorted(FAILED))
        kept.update(failed.values_list("pk", flat=True))
    stays = [pk for pk, by in rows if by in kept]
    for start in range(0, len(stays), BATCH):
        some = undos(using).filter(pk__in=stays[start : start + BATCH])
        some.update(undone_by=None)
    return [pk for pk, by in rows if by not in kept]
