"""Adoption: a returned handle becomes the child of the task that returned it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F

from cq import lifecycle
from cq.db.statements import update_returning
from cq.lifecycle import rules
from cq.status import FAILED, OPEN
from cq.tables.queries import edges, logs, tasks

from . import cycles, tagging
from .dependencies import Upstream, failures_of

if TYPE_CHECKING:
    from uuid import UUID

    from cq.runs.run import Run
    from cq.tables.rows import TaskRow


def adopt(run: Run, handle: TaskRow) -> UUID:
    """Put a handle, and the parentless tasks before it, under the running task.

    Returns the id of the task whose result is taken over. Raises TypeError when it
    belongs to another parent, CycleError when it waits for the running task.
    """
    using, parent = run.using, run.task
    row = tasks(using).filter(pk=handle.pk).values_list("parent_id").first()
    if row is None:
        raise TypeError(
            f"{parent.name} returned the handle of task {handle.pk}, which has no row; "
            "was it made in a transaction that was rolled back?"
        )
    if row[0] == parent.pk:
        return handle.pk
    if row[0] is not None:
        cycles.check(using, parent.pk, {handle.pk}, _what(parent))
        raise TypeError(
            f"{parent.name} returned {handle.name} {handle.pk}, which is a subtask of "
            f"{row[0]}; a task has one parent. Return .result instead, or make it here"
        )
    chain = _parentless_before(using, handle.pk)
    cycles.check(using, parent.pk, chain, _what(parent))
    _move(run, sorted(chain))
    return handle.pk


def _what(parent: TaskRow) -> str:
    return f"{parent.name} {parent.pk}, which returns it,"


def _parentless_before(using: str, task_id: UUID) -> set[UUID]:
    chain, fresh = {task_id}, {task_id}
    while fresh:
        before = set(
            edges(using)
            .filter(task__in=fresh, depends_on__parent__isnull=True)
            .values_list("depends_on_id", flat=True)
        )
        fresh = before - chain
        chain |= fresh
    return chain


def _move(run: Run, ids: list[UUID]) -> None:
    using, parent = run.using, run.task
    tagging.adopt(using, parent, ids)
    moved = update_returning(
        tasks(using).filter(pk__in=ids, parent=None),
        ("status", "error", "name"),
        parent=parent.pk,
        depth=parent.depth + 1,
        counted=True,
    )
    run.children += sum(row[1] in OPEN for row in moved)
    settled = [Upstream(pk, status, name, error) for pk, status, error, name in moved]
    failed = [one for one in settled if one.status in FAILED]
    failures = failures_of(using, failed, rules.subtask_reason)
    for one in settled:
        task_id = one.id
        if task_id in failures:
            # It told nobody when it settled: there was no parent then.
            lifecycle.child_settled(using, parent.pk, 0, failures[task_id])
        tasks(using).filter(root=task_id).update(root=parent.root_id)
        _move_log(using, task_id, parent.root_id)


def _move_log(using: str, root: UUID, new_root: UUID) -> None:
    last = logs(using).filter(root=root).order_by("-number").values_list("number")
    count = last.first()
    if count is None:
        return
    counted = update_returning(
        tasks(using).filter(pk=new_root),
        ("log_lines",),
        log_lines=F("log_lines") + count[0],
    )
    if counted:
        offset = counted[0][1] - count[0]
        logs(using).filter(root=root).update(root=new_root, number=F("number") + offset)
