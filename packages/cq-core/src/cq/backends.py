"""cq behind Django's own Tasks: ``TASKS = {"default": {"BACKEND": ...}}`` names it.

A function decorated with Django's ``@task`` becomes a task of cq under its dotted name
at that moment, and only what was decorated can run: a row never makes anything be
imported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.core import checks
from django.utils import timezone

from . import registry
from .conf import conf
from .django_api import (
    BaseTaskBackend,
    DjangoTask,
    InvalidTask,
    TaskResultDoesNotExist,
    normalize_json,
    signals,
)
from .django_functions import as_cq_function
from .django_results import TaskExpired, TaskIncomplete, TaskLost, result_of
from .local import runs_here
from .options import Options, check_queue
from .rows import task_model, tasks
from .tasks import Launcher

if TYPE_CHECKING:
    from .django_api import TaskResult

__all__ = ["CQBackend", "TaskExpired", "TaskIncomplete", "TaskLost"]

#: Django's task of each registered name, as it was decorated.
_known: dict[str, DjangoTask[..., Any]] = {}


class CQBackend(BaseTaskBackend):
    """Records tasks as rows of cq, to be run by its workers.

    ``OPTIONS`` are :class:`cq.options.Options` of all tasks decorated for this backend,
    such as ``{"retries": 3, "atomic": False}``. ``QUEUES`` is Django's, and
    ``CQ_QUEUES`` holds as well.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: DjangoTask[..., Any]) -> None:
        """Register a function as it is decorated. Raises Django's InvalidTask."""
        super().validate_task(task)
        try:
            check_queue(task.queue_name)
            self._register(task)
        except (TypeError, ValueError) as error:
            raise InvalidTask(str(error)) from error

    def _register(self, task: DjangoTask[..., Any]) -> None:
        name = task.module_path
        if name in _known and _known[name].func is task.func:
            return
        given = {"queue": task.queue_name, "priority": task.priority}
        options = Options().merged({**self.options, **given})
        registry.define(name, as_cq_function(task), options)
        _known[name] = task

    def enqueue(self, task: DjangoTask[..., Any], args: Any, kwargs: Any) -> Any:
        """Record a call, to start at the commit of the open transaction.

        Raises TypeError for arguments that don't fit the function, CodecError (a
        TypeError too) for those that cannot be stored.
        """
        self.validate_task(task)
        changes: dict[str, Any] = {
            "queue": task.queue_name,
            "priority": task.priority,
        }
        if task.run_after is not None:
            changes["run_after"] = task.run_after
        launcher: Launcher[..., Any] = Launcher(registry.get(task.module_path), changes)
        # Django's results hold JSON only. Here, or a row would stay behind the error.
        args, kwargs = normalize_json(list(args)), normalize_json(dict(kwargs))
        # By our clock: the database's is in the row, which is not read back for that.
        enqueued = timezone.now()
        row = launcher.delay(*args, **kwargs)
        if runs_here() and isinstance(row, task_model()):
            row.refresh_from_db()  # it may have run by now
        result = result_of(row, task, self.alias, enqueued)
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        """Return the result of that id; raises Django's TaskResultDoesNotExist."""
        try:
            row = tasks(conf.DATABASE).filter(pk=UUID(str(result_id))).first()
        except ValueError:
            row = None
        task = _known.get(row.name) if row is not None else None
        if row is None or task is None or self._is_foreign(row.queue):
            raise TaskResultDoesNotExist(
                f"{result_id!r} is not the id of a task of backend {self.alias!r}, or "
                "it was deleted after its result_ttl"
            )
        return result_of(row, self._as_enqueued(task, row), self.alias, row.submitted)

    def _is_foreign(self, queue: str) -> bool:
        return bool(self.queues) and queue not in self.queues

    def _as_enqueued(self, task: DjangoTask[..., Any], row: Any) -> Any:
        try:
            return replace(
                task,
                priority=row.priority,
                queue_name=row.queue,
                run_after=row.run_after,
                backend=self.alias,
            )
        except InvalidTask:  # by now; it was fine when it was enqueued
            return task

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """cq.E020: cq is not installed. cq.E021: wrong OPTIONS."""
        found: list[checks.CheckMessage] = []
        if not apps.is_installed("cq"):
            found.append(
                checks.Error(
                    f"TASKS[{self.alias!r}] is cq's backend, but cq is not installed.",
                    hint="Add 'cq' to INSTALLED_APPS.",
                    id="cq.E020",
                )
            )
        try:
            Options().merged(self.options)
        except (TypeError, ValueError) as error:
            found.append(
                checks.Error(
                    f"The OPTIONS of TASKS[{self.alias!r}] are wrong: {error}.",
                    hint="They are the options of cq's own @task.",
                    id="cq.E021",
                )
            )
        return found
