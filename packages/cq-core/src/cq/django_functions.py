"""Functions decorated with Django's ``@task``, as functions that cq runs."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from . import registry
from .conf import conf
from .django_api import (
    DjangoTask,
    TaskContext,
    TaskResultStatus,
    normalize_json,
    signals,
)
from .django_results import change, result_of
from .retrying import wants_retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from .django_api import TaskResult

    Result = TaskResult[..., Any]


def as_cq_function(task: DjangoTask[..., Any]) -> Callable[..., Any]:
    """Return a function that takes cq's run first, and sends Django's signals.

    What the function returns is made JSON as Django does it; what cannot be raises
    TypeError, inside the run.
    """
    function = task.func
    sender = type(task.get_backend())

    def run(cqt: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = _result(cqt, task)
        signals.task_started.send_robust(sender, task_result=result)
        try:
            value = normalize_json(function(*_before(task, result), *args, **kwargs))
        except Exception as error:
            if _failed(cqt, task, result, error):
                signals.task_finished.send_robust(sender, task_result=result)
            raise
        _succeeded(result, value)
        _on_commit(
            lambda: signals.task_finished.send_robust(sender, task_result=result)
        )
        return value

    async def arun(cqt: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = _result(cqt, task)
        await signals.task_started.asend_robust(sender, task_result=result)
        try:
            coroutine = function(*_before(task, result), *args, **kwargs)
            value = normalize_json(await coroutine)
        except Exception as error:
            if _failed(cqt, task, result, error):
                await signals.task_finished.asend_robust(sender, task_result=result)
            raise
        _succeeded(result, value)
        if registry.get(task.module_path).options.atomic:
            await sync_to_async(_on_commit)(
                lambda: signals.task_finished.send_robust(sender, task_result=result)
            )
        else:
            await signals.task_finished.asend_robust(sender, task_result=result)
        return value

    chosen = arun if inspect.iscoroutinefunction(function) else run
    adapter: Any = wraps(function)(chosen)
    adapter.__signature__ = _signature(task)
    return adapter  # type: ignore[no-any-return]


def _signature(task: DjangoTask[..., Any]) -> inspect.Signature:
    """Return the signature of the adapter: the run, then what is enqueued."""
    parameters = list(inspect.signature(task.func).parameters.values())
    if task.takes_context:
        del parameters[0]
    first = inspect.Parameter("_cqt", inspect.Parameter.POSITIONAL_ONLY)
    return inspect.Signature([first, *parameters])


def _result(cqt: Any, task: DjangoTask[..., Any]) -> Result:
    return result_of(cqt, task, task.backend, cqt.submitted)


def _before(task: DjangoTask[..., Any], result: Result) -> tuple[Any, ...]:
    return (TaskContext(task_result=result),) if task.takes_context else ()


def _on_commit(send: Callable[[], object]) -> None:
    # Not before what the function did has come to stay.
    transaction.on_commit(send, using=conf.DATABASE, robust=True)


def _succeeded(result: Result, value: Any) -> None:
    change(
        result,
        status=TaskResultStatus.SUCCESSFUL,
        finished_at=timezone.now(),
        _return_value=value,
    )


def _failed(
    cqt: Any, task: DjangoTask[..., Any], result: Result, error: Exception
) -> bool:
    """Tell whether that was the last attempt, and say so in the result."""
    options = registry.get(task.module_path).options
    failures = getattr(cqt, "failures", 0)
    if failures < options.retries and wants_retry(error, options.retry_on):
        return False
    change(result, status=TaskResultStatus.FAILED, finished_at=timezone.now())
    return True
