"""The models: a task is its row, its handle, and itself while it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import codec
from .conf import conf
from .rows import EdgeRow, TaskLogRow, TaskRow, WorkerRow, logs
from .status import Status
from .values import decode_result, upstream_tasks
from .verbs import TaskVerbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db import models


class _Check:
    """``cqt.check()`` of a run, beside the system check that a model class has."""

    def __get__(self, task: Task | None, owner: type[Task]) -> Any:
        if task is None:
            return super(TaskRow, owner).check
        return task.check_claim


class Task(TaskVerbs, TaskRow):  # type: ignore[misc]
    """A task: the row in the database, and the handle that ``.delay()`` returns.

    Its status changes only through :mod:`cq.lifecycle`: assigning it and calling
    ``save()`` would overwrite what a worker has done meanwhile.
    """

    STATUS_PENDING = Status.PENDING
    STATUS_QUEUED = Status.QUEUED
    STATUS_RUNNING = Status.RUNNING
    STATUS_RETRY = Status.RETRY
    STATUS_WAITING = Status.WAITING
    STATUS_COMPLETE = Status.COMPLETE
    STATUS_SUCCESS = Status.COMPLETE
    STATUS_FAILURE = Status.FAILURE
    STATUS_INCOMPLETE = Status.INCOMPLETE
    STATUS_LOST = Status.LOST
    STATUS_REVOKED = Status.REVOKED
    STATUS_EXPIRED = Status.EXPIRED
    STATUS_SKIPPED = Status.SKIPPED

    check = _Check()

    class Meta(TaskRow.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"

    def __repr__(self) -> str:
        return f"<Task {self.name} {self.pk} {self.__dict__.get('status', '?')}>"

    @property
    def logs(self) -> models.QuerySet[TaskLog]:
        """Its lines: with those from below of a top-level task, else its own."""
        lines = logs(self._using)
        if self.root_id == self.pk:
            return lines.filter(root=self.pk).order_by("number")
        return lines.filter(task=self.pk).order_by("number")

    def decode_field(self, name: str, text: str) -> Any:
        """Decode one of the encoded columns."""
        using = self._state.db or conf.DATABASE
        if name == "result":
            return decode_result(using, text)
        value = codec.decode(text, upstream_tasks(using, self.pk))
        return tuple(value) if name == "args" else value


class Edge(EdgeRow):
    """A dependency of one task on another."""

    class Meta(EdgeRow.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.task_id} after {self.depends_on_id} ({self.when})"


class TaskLog(TaskLogRow):
    """One line of a task's log."""

    class Meta(TaskLogRow.Meta):
        pass


class Worker(WorkerRow):
    """A process that runs tasks."""

    class Meta(WorkerRow.Meta):
        pass


if TYPE_CHECKING:
    schedule_task: Callable[..., Any]


def __getattr__(name: str) -> Any:
    # The first README imports it from here; it lives where the schedules live.
    if name != "schedule_task":
        raise AttributeError(f"module 'cq.models' has no attribute {name!r}")
    try:
        return import_module("cq_scheduler.schedules").schedule_task
    except ModuleNotFoundError as error:
        if error.name != "cq_scheduler":
            raise
        raise ImportError(
            "schedule_task is part of cq-scheduler, which is not installed: "
            "pip install cq-scheduler"
        ) from error
