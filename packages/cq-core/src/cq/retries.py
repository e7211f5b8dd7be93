"""Runs a finished task again by hand, and reopens what ended because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from . import doorbell, lifecycle
from .calls import CHAIN, GROUP
from .errors import NotFinished, NotRetryable
from .rows import edges, tasks
from .status import OPEN, RETRYABLE, Status

if TYPE_CHECKING:
    from uuid import UUID


def retry(using: str, task_id: UUID) -> None:
    """Queue a finished task again: same row, next fence.

    Its subtasks stay under it as history. One whose parent has settled runs again
    without reopening that. Raises NotFinished, NotRetryable, UniqueTaken.
    """
    with transaction.atomic(using=using):
        row = (
            tasks(using)
            .filter(pk=task_id)
            .values_list("name", "status", "parent_id", "options", "counted")
            .first()
        )
        if row is None:
            raise NotFinished(f"task {task_id} has no row any more")
        name, status, parent, options, counted = row
        if name in (GROUP, CHAIN):
            raise NotRetryable(
                f"{name} {task_id} has no function of its own; retry those of its "
                "subtasks that did not succeed"
            )
        if status not in RETRYABLE:
            raise NotFinished(
                f"{name} {task_id} is {status}; only a finished task can be retried"
            )
        key = (options or {}).get("unique")
        tasks(using).filter(parent=task_id, counted=True).update(counted=False)
        counted = counted and _reopens(using, parent)
        queued = lifecycle.retry(using, task_id, counted=counted, unique_key=key)
        if queued is None:
            raise NotFinished(f"{name} {task_id} changed while it was looked at")
        _reopen_dependants(using, task_id)
    transaction.on_commit(lambda: doorbell.ring(using, [queued]), using=using)


def _reopens(using: str, parent: UUID | None) -> bool:
    """Whether the parent is still open, and so waits for the task again."""
    return parent is None or lifecycle.add_children(using, parent, 1)


def _reopen_dependants(using: str, task_id: UUID) -> None:
    """Put what ended INCOMPLETE or SKIPPED for this task's sake back to PENDING."""
    wave = [task_id]
    while wave:
        below = (
            edges(using)
            .filter(
                depends_on__in=wave,
                task__status__in=[Status.INCOMPLETE, Status.SKIPPED],
                task__attempts=0,
            )
            .values_list("task_id", "task__parent_id")
        )
        following = []
        for dependant, parent in sorted(set(below)):
            reopened = edges(using).filter(
                Q(depends_on__in=wave) | Q(depends_on__status__in=sorted(OPEN)),
                task=dependant,
            )
            count = reopened.update(met=None)
            counted = _reopens(using, parent)
            if lifecycle.reopen(using, dependant, counted=counted, open_edges=count):
                following.append(dependant)
        wave = following
