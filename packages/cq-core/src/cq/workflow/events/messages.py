"""The waking of tasks by what was sent to them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cq import lifecycle
from cq.status import FINAL, Status
from cq.tables.durable.queries import open_waits, open_waits_of_any, untaken
from cq.tables.durable.rows import StepRow
from cq.tables.queries import tasks
from cq.workers import doorbell

from .topics import collect

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

logger = logging.getLogger("cq.runner")


def wake(using: str, task: UUID, name: str, kind: str = StepRow.WAIT) -> None:
    """Wake a task whose open wait is for a message of this name, if it has one.

    Logs where it has settled since its sender has looked: nothing reads that message.
    """
    waits = open_waits(using, kind).filter(task=task, name=name).exists()
    woken = lifecycle.wake(using, [task]) if waits else []
    doorbell.ring(using, woken)
    if not woken and tasks(using).filter(pk=task, status__in=sorted(FINAL)).exists():
        logger.warning("Task %s has settled, and %r is not read any more.", task, name)


def look(
    using: str,
    task: UUID,
    name: str,
    kind: str = StepRow.WAIT,
    now: datetime | None = None,
) -> None:
    """Wake a task, which has just been suspended, for what was sent to it before."""
    if kind == StepRow.TOPIC:
        collect(using, task, name, now)
    if untaken(using).filter(task=task, name=name, kind=kind).exists():
        doorbell.ring(using, lifecycle.wake(using, [task]))


def wake_for(
    using: str, sent: Iterable[tuple[UUID, str, str]], now: datetime | None = None
) -> int:
    """Wake those tasks whose open wait is for what was sent to them; how many.

    sent: the tasks, the names and the kinds of some messages that nothing has taken.
    """
    there = set(sent)
    suspended = tasks(using).filter(
        pk__in={task for task, *_ in there}, status=Status.SUSPENDED
    )
    waits = open_waits_of_any(using).filter(
        task__in=list(suspended.values_list("pk", flat=True)),
        name__in={name for _, name, _ in there},
    )
    found = there.intersection(waits.values_list("task_id", "name", "kind"))
    woken = lifecycle.wake(using, {task for task, *_ in found}, now)
    doorbell.ring(using, woken)
    return len(woken)
