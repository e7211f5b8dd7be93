"""What Django's Tasks call a result, made from a row of cq."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .django_api import DjangoTask, TaskError, TaskResult, TaskResultStatus
from .errors import CQError
from .status import FAILED, SUCCEEDED, Status

if TYPE_CHECKING:
    from datetime import datetime


class TaskLost(CQError):
    """The worker vanished; whether the task had its effects was not observed."""


class TaskExpired(CQError):
    """The task was not started in time."""


class TaskIncomplete(CQError):
    """A subtask, or what the task depended on, did not succeed."""


_RUNNING = frozenset({Status.RUNNING, Status.WAITING})
#: Of final statuses that no exception led to.
_ERRORS = {
    Status.LOST: "cq.backends.TaskLost",
    Status.EXPIRED: "cq.backends.TaskExpired",
    Status.INCOMPLETE: "cq.backends.TaskIncomplete",
    Status.REVOKED: "cq.errors.Revoked",
}
#: Stands for workers of attempts that are over, which the row has forgotten.
_GONE = "gone"


def result_of(
    row: Any,
    task: DjangoTask[..., Any],
    alias: str,
    enqueued: datetime,
) -> TaskResult[..., Any]:
    """Return Django's result for a row of cq, or for its serial double."""
    status = status_of(row.status)
    result: TaskResult[..., Any] = TaskResult(
        task=task,
        id=str(row.id),
        status=status,
        enqueued_at=enqueued,
        started_at=row.started,
        last_attempted_at=row.started,
        finished_at=row.finished,
        args=list(row.args),
        kwargs=row.kwargs,
        backend=alias,
        errors=_errors(row),
        worker_ids=_workers(row),
    )
    if status == TaskResultStatus.SUCCESSFUL:
        change(result, _return_value=row.result)
    return result


def change(result: TaskResult[..., Any], **values: Any) -> None:
    """Set what is known by now of a result, which is frozen for its users."""
    for name, value in values.items():
        object.__setattr__(result, name, value)


def status_of(status: str) -> TaskResultStatus:
    """Return which of Django's four states a status of cq is."""
    if status in _RUNNING:
        return TaskResultStatus.RUNNING
    if status in SUCCEEDED:
        return TaskResultStatus.SUCCESSFUL
    return TaskResultStatus.FAILED if status in FAILED else TaskResultStatus.READY


def _errors(row: Any) -> list[TaskError]:
    path = _ERRORS.get(row.status) or row.exception
    if not path:
        return []
    if "." not in path:
        path = f"builtins.{path}"
    text = row.error if row.status in _ERRORS else row.traceback
    return [TaskError(exception_class_path=path, traceback=text or row.error or "")]


def _workers(row: Any) -> list[str]:
    """Return an id for each attempt."""
    if not row.attempts:
        return []
    worker = getattr(row, "worker_id", None)
    last = _GONE if worker is None else str(worker)
    return [_GONE] * (row.attempts - 1) + [last]
