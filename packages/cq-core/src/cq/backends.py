"""The backend of Django's own Tasks: ``TASKS = {"default": {"BACKEND": ...}}`` names it.

A function decorated with Django's ``@task`` becomes a task of cq under its dotted name
at that moment, and only what was decorated can run: a row never makes anything be
imported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import ObjectDoesNotExist, SynchronousOnlyOperation
from django.utils import timezone

from cq.definitions.options import Options, check_queue
from cq.definitions.signatures import Call
from cq.django_backend.api import (
    BaseTaskBackend,
    DjangoTask,
    InvalidTask,
    normalize_json,
    signals,
)
from cq.django_backend.attempts import add_earlier
from cq.django_backend.errors import invalid_task, result_does_not_exist
from cq.django_backend.functions import as_cq_function
from cq.django_backend.results import (
    UNKNOWN,
    TaskExpired,
    TaskIncomplete,
    TaskLost,
    result_of,
)
from cq.tables.queries import tasks

from .conf import conf
from .definitions import registry
from .ids import read_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cq.django_backend.api import TaskResult

__all__ = ["CQBackend", "TaskExpired", "TaskIncomplete", "TaskLost"]

# Settings name it, and a module may decorate functions for it, before the apps are ready,
# when the tables can't be loaded yet: so what works on rows is imported where it is used.

#: Django's task of each registered name, as it was decorated.
_known: dict[str, DjangoTask[..., Any]] = {}


def _submitted(row: Any) -> datetime:
    try:
        moment: datetime = row.submitted
    except ObjectDoesNotExist:
        # It is written when another database has committed.
        return timezone.now()
    return moment


class CQBackend(BaseTaskBackend):
    """A backend of Django's Tasks that records them as rows of cq, for its workers.

    ``OPTIONS`` are :class:`cq.definitions.options.Options` of all tasks decorated for this backend,
    such as ``{"retries": 3, "atomic": False}``. ``QUEUES`` is Django's, and
    ``CQ_QUEUES`` holds as well.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: DjangoTask[..., Any]) -> None:
        """Register a function as it is decorated. Raises Django's InvalidTask."""
        try:
            super().validate_task(task)
            check_queue(task.queue_name)
            self._register(task)
        except (InvalidTask, TypeError, ValueError) as error:
            raise invalid_task(str(error)) from error

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
        TypeError too) for those that cannot be stored, RuntimeError on an event loop.
        """
        self.validate_task(task)
        changes: dict[str, Any] = {
            "queue": task.queue_name,
            "priority": task.priority,
        }
        if task.run_after is not None:
            changes["run_after"] = task.run_after
        # Django's results hold JSON only. Here, or a row would stay behind the error.
        args, kwargs = normalize_json(list(args)), normalize_json(dict(kwargs))
        definition = registry.get(task.module_path)
        definition.check_arguments(args, kwargs)
        call = Call(definition, tuple(args), kwargs, changes)

        def announce(row: Any) -> Any:
            result = result_of(row, task, self.alias, _submitted(row))
            signals.task_enqueued.send(type(self), task_result=result)
            return result

        try:
            return self._launch(task, call, announce)
        except SynchronousOnlyOperation:
            raise RuntimeError(
                ".enqueue() was called where an event loop runs; write "
                "`await task.aenqueue(...)`"
            ) from None

    def _launch(
        self,
        task: DjangoTask[..., Any],
        call: Call,
        announce: Callable[[Any], Any],
    ) -> Any:
        """Record a call, or run it in a serial run; the signal comes before it runs."""
        from cq.enqueue import recording
        from cq.execution import inline
        from cq.serial import workflow

        row: Any
        if workflow.current_serial() is not None:
            row = workflow.launch(call, announce)
        else:
            with inline.held_back():
                row = recording.record(conf.DATABASE, call, read_submitted=True)
                result = announce(row)
            if not inline.runs_here():
                return result
            row = inline.up_to_date(row)
        result = result_of(row, task, self.alias, _submitted(row))
        add_earlier(result, row)
        return result

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        """Return the result of that id; raises Django's TaskResultDoesNotExist."""
        task_id = read_id(str(result_id))
        row = None
        if task_id is not None:
            found = tasks(conf.DATABASE).select_related("worker")
            row = found.filter(pk=task_id).first()
        task = _known.get(row.name) if row is not None else None
        if row is None or task is None or self._is_foreign(row.queue):
            raise result_does_not_exist(
                f"{result_id!r} is not the id of a task of backend {self.alias!r}, or "
                "it was deleted after its result_ttl"
            )
        enqueued = self._as_enqueued(task, row)
        worker = row.worker.address if row.worker else str(row.worker_id or UNKNOWN)
        result = result_of(row, enqueued, self.alias, row.submitted, worker)
        add_earlier(result, row)
        return result

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
