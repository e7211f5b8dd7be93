"""The results of Django's Tasks, made from rows of cq."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.errors import CQError
from cq.lifecycle.attempts import this_process
from cq.status import FAILED, SUCCEEDED, Status

from .api import DjangoTask, TaskError, TaskResult, TaskResultStatus
from .task_error import RowError

if TYPE_CHECKING:
    from datetime import datetime


class TaskLost(CQError):
    """The worker vanished; whether the task had its effects was not observed."""


class TaskExpired(CQError):
    """The task was not started in time."""


class TaskIncomplete(CQError):
    """A subtask, or what the task depended on, did not succeed."""


_RUNNING = frozenset({Status.RUNNING, Status.WAITING, Status.SUSPENDED})
#: Of final statuses that no exception led to.
ERRORS = {
    Status.LOST: "cq.backends.TaskLost",
    Status.EXPIRED: "cq.backends.TaskExpired",
    Status.INCOMPLETE: "cq.backends.TaskIncomplete",
    Status.REVOKED: "cq.errors.Revoked",
}
#: Stands for the worker of an attempt that nothing tells of, since Django counts these.
UNKNOWN = "unknown"


def result_of(
    row: Any,
    task: DjangoTask[..., Any],
    alias: str,
    enqueued: datetime,
    worker: str = UNKNOWN,
) -> TaskResult[..., Any]:
    """Return Django's result for a row of cq, or for its serial double.

    worker: who has the last attempt. Of earlier ones, the row tells no worker and no error.
    """
    status = status_of(row.status)
    result: TaskResult[..., Any] = TaskResult(
        task=task,
        id=str(row.id),
        status=status,
        enqueued_at=enqueued,
        started_at=row.first_started or row.started,
        last_attempted_at=row.started,
        finished_at=row.finished,
        args=list(row.args),
        kwargs=row.kwargs,
        backend=alias,
        errors=_errors(row),
        worker_ids=_workers(row, worker),
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
    path = ERRORS.get(row.status) or row.exception
    if not path:
        return []
    text = row.error if row.status in ERRORS else row.traceback
    return [error_of(path, text or row.error or "")]


def error_of(path: str, text: str) -> TaskError:
    """Return an exception, by its name as a row has it, as Django's TaskError."""
    if "." not in path:
        path = f"builtins.{path}"
    return RowError(exception_class_path=path, traceback=text)


def _workers(row: Any, last: str) -> list[str]:
    """Return a name for each attempt, by whose number Django knows how many there were."""
    if not row.attempts:
        return []
    if not hasattr(row, "worker_id"):  # a serial run
        return [this_process()] * row.attempts
    return [UNKNOWN] * (row.attempts - 1) + [last]
