"""Rows forced into a state, past the verbs that lead there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cq import codec
from cq.ids import uuid7
from cq.lifecycle import Claim
from cq.models import Edge, Task
from cq.status import FINAL, Status
from cq.tables.queries import workers

if TYPE_CHECKING:
    from uuid import UUID

WORKER = 11
NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
AFTER = NOW + timedelta(hours=1)


def draft(status: Status, parent: Task | None = None, **values: Any) -> Task:
    """A row that the constraints let pass, not saved."""
    task_id = uuid7()
    made: dict[str, Any] = {
        "id": task_id,
        "name": "sample_tasks.square",
        "args": codec.Encoded("[3]"),
        "status": status,
        "submitted": BEFORE,
        "root_id": task_id if parent is None else parent.root_id,
        "parent": parent,
        "depth": 0 if parent is None else parent.depth + 1,
    }
    if status in FINAL:
        made["finished"] = BEFORE
    if status == Status.RUNNING:
        made |= {"worker_id": WORKER, "fence": 1, "attempts": 1, "started": BEFORE}
    if status == Status.RETRY:
        made["run_after"] = BEFORE
    return Task(**made | values)


def forced(status: Status, parent: Task | None = None, **values: Any) -> Task:
    return forced_many(1, status, parent, **values)[0]


def forced_many(
    count: int, status: Status, parent: Task | None = None, **values: Any
) -> list[Task]:
    return saved([draft(status, parent, **values) for _ in range(count)])


def saved(rows: list[Task]) -> list[Task]:
    Task._base_manager.using("default").bulk_create(rows, batch_size=500)
    return rows


def after(task: Task, upstream: Task | UUID, **values: Any) -> Edge:
    """Let `task` depend on `upstream`."""
    values = {"when": "complete"} | values
    upstream_id = upstream.pk if isinstance(upstream, Task) else upstream
    return Edge.objects.create(task=task, depends_on_id=upstream_id, **values)


def held(task: Task) -> Claim:
    return Claim(task.pk, task.fence, WORKER)


def row(task: Task) -> dict[str, Any]:
    """The stored row, all columns."""
    return Task.objects.filter(pk=task.pk).values().get()


def status(task: Task) -> str:
    return Task.objects.values_list("status", flat=True).get(pk=task.pk)


def register(worker: int = WORKER, seen: datetime = NOW) -> None:
    """A worker's row, last seen at a given moment."""
    workers("default").create(
        id=worker, kind="test", host="here", pid=1, started=BEFORE, last_seen=seen
    )
