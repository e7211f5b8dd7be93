"""The retry of a finished task by hand, which reopens what ended because of it."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from cq import lifecycle
from cq.db.conflicts import retry_on_conflict
from cq.db.statements import BATCH
from cq.definitions.registry import durable_names, is_durable, may_be_durable
from cq.definitions.signatures import CHAIN, GROUP
from cq.errors import NotFinished, NotRetryable, UniqueTaken
from cq.hooks import announce
from cq.hooks.context import captured_at_retry
from cq.lifecycle import rules
from cq.status import FAILED, OPEN, RETRYABLE, SUCCEEDED, Status
from cq.tables.queries import edges, tasks
from cq.tables.values import undoes, unique_key_of
from cq.workers import doorbell

from . import advance, compensation, obstacles
from .from_step import forget

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow


def retry(
    using: str,
    task_id: UUID,
    only: frozenset[Status] = RETRYABLE,
    after: timedelta | None = None,
    *,
    from_step: str | None = None,
    by: str | None = None,
    reason: str | None = None,
) -> None:
    """Queue a finished task again: same row, next fence.

    Its subtasks stay under it as history; those of a durable one stay its own, and what
    failed among them is run again, too. What ended INCOMPLETE for its sake waits for it
    again: its parents, up to the top, and what depends on any of these. A parent that
    has settled otherwise stays as it is. One whose predecessor is open waits for that.
    only: the statuses that it may have. after: how long from now it is to wait.
    from_step: forgets that step, and what ended after it; ValueError for an unknown one.
    Raises NotFinished, UniqueTaken, NotRetryable, also while what it did is taken back, and
    for what takes back a step that counts no more.

    by, reason: who asks for it, for the history.
    """
    with transaction.atomic(using=using):
        # Writing first: SQLite refuses a write in a transaction that began by reading.
        ended = tasks(using).filter(pk=task_id, status__in=sorted(only))
        below = tasks(using).filter(counted=True)
        below.filter(parent__in=_begun_anew(ended).values("pk")).update(counted=False)
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
        if status not in only:
            raise NotFinished(f"{name} {task_id} is {status} by now")
        key = unique_key_of(options)
        open_edges = _reopen_edges(using, task_id, f"{name} {task_id}")
        queued = lifecycle.retry(
            using,
            task_id,
            counted=counted,
            unique_key=key,
            open_edges=open_edges,
            only=only,
            after=after,
            by=by,
            reason=reason,
        )
        if queued is None:
            raise NotFinished(f"{name} {task_id} changed while it was looked at")
        if undoes(options):
            # Behind the lock: its parent may have been run again meanwhile.
            compensation.check_is_due(using, task_id, f"{name} {task_id}")
        if from_step is not None or may_be_durable(name):
            forget(using, task_id, f"{name} {task_id}", from_step)
        if is_durable(name):
            _retry_below(using, task_id, by, reason)
            lifecycle.show_child_failure(using, task_id)
        if (kept := captured_at_retry(options)) is not None:
            tasks(using).filter(pk=task_id).update(options=kept)
        above: list[UUID] = []
        if counted and status in FAILED:
            above = rejoin(using, [task_id], parent)
        elif counted and not _reopens(using, parent):
            _leave(using, [task_id])
        reopened = reopen_dependants(using, [task_id, *above])
    ready, looks = ([], [*reopened, task_id]) if open_edges else ([queued], reopened)
    ready = [] if after else ready
    transaction.on_commit(partial(go_on, using, [task_id], ready, looks), using=using)


def _begun_anew(ended: QuerySet[TaskRow]) -> QuerySet[TaskRow]:
    """Those of some tasks that make their subtasks once more when they run again."""
    durable = durable_names()
    return ended.exclude(name__in=durable) if durable else ended


def _retry_below(using: str, task_id: UUID, by: str | None, reason: str | None) -> None:
    """Queue what failed below a durable task, whose next run finds it, and makes no other."""
    for found in _failed_below(using, task_id):
        # What takes a step back stays as it ended, and so does one whose key is taken.
        with contextlib.suppress(NotFinished, NotRetryable, UniqueTaken):
            retry(using, found, by=by, reason=reason)


def go_on(
    using: str, ids: list[UUID], ready: doorbell.Ready, looks: list[UUID]
) -> None:
    """Tell and ring for what runs again, and look what became of predecessors meanwhile."""
    announce.retried(using, ids)
    doorbell.ring(using, ready)
    advance.check_upstream(using, looks)


def retry_failed(
    using: str,
    task_id: UUID,
    *,
    by: str | None = None,
    reason: str | None = None,
) -> int:
    """Queue what failed below a task again, and nothing else; how many that were.

    That is each subtask, at any depth, that did not succeed by itself; what ended
    INCOMPLETE for the sake of one waits for it again. Each is retried in a transaction of
    its own. Raises NotRetryable where nothing has failed below, UniqueTaken, after all
    others were retried, where a key is live again.
    """
    count, taken = 0, None
    failed = _failed_below(using, task_id)
    for found in failed:
        try:
            again = partial(retry, using, found, by=by, reason=reason)
            retry_on_conflict(using, again)
            count += 1
        except UniqueTaken as error:
            taken = error
        except NotFinished:
            pass  # somebody else has retried it meanwhile
    if taken is not None:
        raise taken
    if not failed:
        raise NotRetryable(
            f"nothing has failed below task {task_id}; retry() runs the task itself again"
        )
    return count


def _failed_below(using: str, task_id: UUID) -> list[UUID]:
    """Return what failed by itself below a task, oldest first, but nothing below that."""
    found: list[UUID] = []
    wave = [task_id]
    while wave:
        below: list[tuple[UUID, str]] = []
        for start in range(0, len(wave), BATCH):
            children = tasks(using).filter(
                parent__in=wave[start : start + BATCH], counted=True
            )
            # All but what has succeeded, with all that is below it.
            unsettled = children.exclude(status__in=sorted(SUCCEEDED))
            below += unsettled.values_list("pk", "status")
        own = FAILED - {Status.INCOMPLETE}
        found += [pk for pk, status in below if status in own]
        wave = [pk for pk, status in below if status not in own]
    return sorted(found)


def _reopen_edges(using: str, task_id: UUID, what: str) -> int:
    """Open the edges to what a task depends on and has not settled; how many.

    Raises NotRetryable when one has settled so that the task may not start.
    """
    # What it was waiting for when it ended: it asks for that anew.
    edges(using).filter(task=task_id, when=rules.GATHERS).delete()
    found = edges(using).filter(task=task_id, depends_on__status__in=sorted(OPEN))
    count = found.update(met=None)
    other = obstacles.settled(using, task_id)
    if other is not None:
        raise NotRetryable(
            f"{what} waits for {other.name} {other.id}, which is "
            f"{other.status or 'deleted'}; retry that one, and this one follows it"
        )
    return count


def _reopens(using: str, parent: UUID | None, count: int = 1) -> bool:
    """Whether the parent is still open, and so waits for `count` tasks again."""
    return parent is None or lifecycle.add_children(using, parent, count)


def rejoin(using: str, children: list[UUID], parent: UUID | None) -> list[UUID]:
    """Have the parents of tasks that had failed wait for them again.

    Those that are open, and those that ended INCOMPLETE, up to the top. Under one that
    has settled otherwise the task is history. Returns the ids of the latter kind.
    """
    waiting: list[UUID] = []
    while parent is not None:
        if _reopens(using, parent, len(children)):
            lifecycle.clear_child_failure(using, parent)
            break
        found = tasks(using).filter(pk=parent)
        row = found.values_list("options", "parent_id", "counted").first()
        key = None if row is None else unique_key_of(row[0])
        count = len(children)
        if row is None or not lifecycle.wait_again(using, parent, key, count):
            _leave(using, children)
            break
        # Another subtask may have failed as well, and then the first is shown at once.
        lifecycle.show_child_failure(using, parent)
        waiting.append(parent)
        children, parent, counted = [parent], row[1], row[2]
        if not counted:
            break
    return waiting


def _leave(using: str, ids: list[UUID]) -> None:
    """Keep tasks as history: their parent has settled, and does not wait for them."""
    tasks(using).filter(pk__in=ids).update(counted=False)


def reopen_dependants(using: str, task_ids: list[UUID]) -> list[UUID]:
    """Put what ended INCOMPLETE or SKIPPED for these tasks' sake back to PENDING.

    But not what another predecessor, settled too, keeps from starting. Returns the ids.
    """
    wave, all_reopened = task_ids, []
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
            if obstacles.settled(using, dependant) is not None:
                continue
            # Those that are true by now as well: the look after the commit finds them.
            reopened = edges(using).filter(
                Q(met=False) | Q(depends_on__status__in=sorted(OPEN)), task=dependant
            )
            count = reopened.update(met=None)
            if lifecycle.reopen(using, dependant, counted=counted, open_edges=count):
                following.append(dependant)
                if counted:
                    following += rejoin(using, [dependant], parent)
        all_reopened += following
        wave = following
    return all_reopened
