"""Functions decorated with Django's ``@task``, as functions that cq runs."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from cq import codec
from cq.conf import conf
from cq.definitions import registry
from cq.lifecycle.attempts import this_process
from cq.runs.run import when_failed

from .api import DjangoTask, TaskContext, TaskResultStatus, normalize_json, signals
from .results import change, error_of, result_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.lifecycle import Failure

    from .api import TaskResult

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
        _tell_of_failure(sender, result)
        signals.task_started.send_robust(sender, task_result=result)
        value = _checked(task, function(*_before(task, result), *args, **kwargs))
        _succeeded(result, value)
        _on_commit(
            lambda: signals.task_finished.send_robust(sender, task_result=result)
        )
        return value

    async def arun(cqt: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = _result(cqt, task)
        _tell_of_failure(sender, result)
        await signals.task_started.asend_robust(sender, task_result=result)
        returned = await function(*_before(task, result), *args, **kwargs)
        value = _checked(task, returned)
        _succeeded(result, value)
        if _is_atomic(task):
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
    return result_of(cqt, task, task.backend, cqt.submitted, this_process())


def _before(task: DjangoTask[..., Any], result: Result) -> tuple[Any, ...]:
    return (TaskContext(task_result=result),) if task.takes_context else ()


def _is_atomic(task: DjangoTask[..., Any]) -> bool:
    return registry.get(task.module_path).options.atomic


def _checked(task: DjangoTask[..., Any], returned: Any) -> Any:
    """Return a result as JSON; raises TypeError for one that cannot be stored."""
    value = normalize_json(returned)
    if not _is_atomic(task):
        # Without a transaction, success is told before the runner stores the result.
        codec.encode(value, size_limit=conf.SIZE_LIMIT, depth_limit=conf.DEPTH_LIMIT)
    return value


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


def _tell_of_failure(sender: type, result: Result) -> None:
    """Let the present run send task_finished if it fails for good.

    The runner calls it: it knows of a timeout, a result that is too large and a commit
    that fails, which the function does not see, and whether there is another attempt.
    """

    def failed(error: BaseException, failure: Failure) -> None:
        if isinstance(error, KeyboardInterrupt):
            return  # as Django: somebody ends the process, and not the task
        change(
            result,
            status=TaskResultStatus.FAILED,
            finished_at=timezone.now(),
            errors=[error_of(failure.exception or "", failure.traceback or "")],
            _return_value=None,
        )
        signals.task_finished.send_robust(sender, task_result=result)

    when_failed("django.tasks", failed)
