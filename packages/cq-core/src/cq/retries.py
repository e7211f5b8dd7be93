"""Runs a finished task again by hand, and reopens what ended because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from . import advance, doorbell, lifecycle
from .calls import CHAIN, GROUP
from .errors import NotFinished, NotRetryable
from .rows import edges, tasks
from .status import OPEN, RETRYABLE, Status

if TYPE_CHECKING:
    from uuid import UUID


def retry(using: str, task_id: UUID) -> None:
    """Queue a finished task again: same row, next fence.

    Its subtasks stay under it as history. One whose parent has settled runs again
    without reopening that; one whose predecessor is open waits for it. Raises
    NotFinished, NotRetryable, UniqueTaken.
    """
    with transaction.atomic(using=using):
        # Writing first: SQLite refuses a write in a transaction that began by reading.
        ended = tasks(using).filter(pk=task_id, status__in=sorted(RETRYABLE))
        tasks(using).filter(parent__in=ended.values("pk"), counted=True).update(
            counted=False
        )
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
        open_edges = _reopen_edges(using, task_id, f"{name} {task_id}")
        counted = counted and _reopens(using, parent)
        queued = lifecycle.retry(
            using,
            task_id,
            counted=counted,
            unique_key=key,
            open_edges=open_edges,
        )
        if queued is None:
            raise NotFinished(f"{name} {task_id} changed while it was looked at")
        if counted and parent is not None:
            lifecycle.forgive(using, parent)
        reopened = _reopen_dependants(using, task_id)
    looks = [*reopened, task_id] if open_edges else reopened

    def announce() -> None:
        if not open_edges:
            doorbell.ring(using, [queued])
        advance.look(using, looks)

    transaction.on_commit(announce, using=using)


def _reopen_edges(using: str, task_id: UUID, what: str) -> int:
    """Open the edges to what a task depends on and has not settled; how many.

    Raises NotRetryable when one has settled so that the task may not start.
    """
    found = edges(using).filter(task=task_id, depends_on__status__in=sorted(OPEN))
    count = found.update(met=None)
    blocking = _blocking(using, task_id)
    if blocking is not None:
        raise NotRetryable(
            f"{what} waits for {blocking}; retry that one, and this one follows it"
        )
    return count


def _blocking(using: str, task_id: UUID) -> str | None:
    """Describe a settled predecessor for which a task may not start, if any."""
    found = list(edges(using).filter(task=task_id).values_list("depends_on_id", "when"))
    if not found:
        return None
    rows = tasks(using).filter(pk__in={pk for pk, _ in found})
    upstream = {row[0]: row[1:] for row in rows.values_list("pk", "status", "name")}
    for pk, when in found:
        status, name = upstream.get(pk, (None, "task"))
        if status not in OPEN and not advance.comes_true(when, status):
            return f"{name} {pk}, which is {status or 'deleted'}"
    return None


def _reopens(using: str, parent: UUID | None) -> bool:
    """Whether the parent is still open, and so waits for the task again."""
    return parent is None or lifecycle.add_children(using, parent, 1)


def _reopen_dependants(using: str, task_id: UUID) -> list[UUID]:
    """Put what ended INCOMPLETE or SKIPPED for this task's sake back to PENDING.

    But not what another predecessor, settled too, keeps from starting. Returns the ids.
    """
    wave, all_reopened = [task_id], []
    while wave:
        below = (
            edges(using)
            .filter(
                depends_on__in=wave,
                task__status__in=[Status.INCOMPLETE, Status.SKIPPED],
                task__attempts=0,
            )
            .values_list("task_id", "task__parent_id", "task__counted")
        )
        following = []
        for dependant, parent, counted in sorted(set(below), key=lambda row: row[0]):
            if _blocking(using, dependant) is not None:
                continue
            # Those that are true by now as well: the look after the commit finds them.
            reopened = edges(using).filter(
                Q(met=False) | Q(depends_on__status__in=sorted(OPEN)), task=dependant
            )
            count = reopened.update(met=None)
            counted = counted and _reopens(using, parent)
            if lifecycle.reopen(using, dependant, counted=counted, open_edges=count):
                following.append(dependant)
                if counted and parent is not None:
                    lifecycle.forgive(using, parent)
        all_reopened += following
        wave = following
    return all_reopened
