"""The attempts at one call of a serial run: its function, its transaction, its result."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connections

from cq import codec
from cq.conf import conf
from cq.db import transactions
from cq.definitions import registry
from cq.definitions.backoff import wants_retry
from cq.definitions.signatures import RESULTS, Call
from cq.errors import (
    GiveUp,
    LeaseLost,
    OutOfTime,
    RetryLater,
    Revoked,
    Suspended,
    TaskTimeout,
)
from cq.execution import forked
from cq.figures.ends import count_call
from cq.hooks.around import around
from cq.lifecycle import rules
from cq.runs import left_open
from cq.runs.failures import describe, for_log
from cq.runs.run import current, entered, tell_failed
from cq.status import FINAL
from cq.tracebacks import calls_task

from . import cycles, rollback
from .handle import SerialHandle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq.definitions.options import Options

logger = logging.getLogger("cq.serial")


def run_attempts(task: SerialHandle, what: Call) -> None:
    """Call a task's function until it returns or may not be tried again.

    What it raised is kept in the task. What is no Exception goes on from here, but for
    the end of a run that was revoked or out of time.
    """
    options, outer = what.options, current.get()
    while True:
        task.begin(options.timeout)
        began = time.monotonic()
        try:
            _call_within(what, task, options)
        except BaseException as error:
            if options.atomic:
                rollback.roll_back(task)
            if task.status in FINAL and isinstance(error, (Revoked, LeaseLost)):
                break  # revoked: what it came to is dropped
            reason = _interrupted(error, task, options)
            again = _may_retry(reason, task, options)
            _count(task, began, reason, again=again)
            if again:
                if options.atomic:
                    rollback.take_back(task, task.made)
                task.try_again(reason)
                continue  # at once: whoever called is waiting
            task.fail(reason)
            if task.on_failure:
                tell_failed(task, reason, describe(reason))
            if not isinstance(reason, Exception):
                raise
        else:
            _count(task, began)
        break
    if isinstance(outer, SerialHandle):
        # Undone with whoever called, if that is.
        outer.made += task.made


def _count(
    task: SerialHandle,
    began: float,
    error: BaseException | None = None,
    *,
    again: bool = False,
) -> None:
    if _has_database():
        count_call(task.name, task.queue, began, error, again)


def _call_within(what: Call, task: SerialHandle, options: Options) -> None:
    """Call the function within what the project has put around it."""
    with entered(task):
        found = around(task)
        if found is None:
            with _transaction(options.atomic):
                _call_function(what, task, options)
            return
        committed = False

        def run_it() -> Any:
            nonlocal committed
            with _transaction(options.atomic):
                found.inside(partial(_call_function, what, task, options))
                _check_can_commit(options)
            committed = options.atomic
            return found.value

        try:
            found.outside(run_it)
        except Exception as error:
            if not committed:
                raise
            logger.error(
                "%s is done; what is around it raised %s behind its commit",
                task,
                type(error).__name__,
                exc_info=for_log(error),
            )


@calls_task
def _call_function(what: Call, task: SerialHandle, options: Options) -> Any:
    function: Any = what.definition.function
    if what.definition.is_async:
        function = async_to_sync(partial(_awaited, function))
    args, kwargs = task.decoded(
        lambda at, count: [u.result for u in task.upstream[at : at + count]]
    )
    opened = connections.all(initialized_only=True)
    before = transactions.depths(opened)
    process = os.getpid()
    try:
        # Here, since each level of serial calls is a part of Python's stack.
        while True:
            try:
                value = function(task, *args, **kwargs)
                break
            except Suspended as anew:
                if anew.begins is None:
                    raise
                args, kwargs = anew.begins()
        if os.getpid() != process:
            forked.leave(task.name)
    except BaseException:
        if os.getpid() != process:
            forked.leave(task.name)
        transactions.roll_back_left_open(opened, before)
        raise
    left_open.check(connections.all(initialized_only=True), before)
    _check_can_commit(options)
    if task.status in FINAL:
        raise LeaseLost(f"{task.name} {task.id} was revoked while it ran")
    _keep_result(task, value)
    return value


def _check_can_commit(options: Options) -> None:
    if options.atomic and _has_database():
        transactions.check_can_commit(conf.DATABASE)


@calls_task
async def _awaited(function: Any, task: SerialHandle, *args: Any, **kwargs: Any) -> Any:
    process = os.getpid()
    try:
        return await function(task, *args, **kwargs)
    finally:
        if os.getpid() != process:
            # Here: the loop of a forked child never ends.
            forked.leave(task.name)


def _keep_result(task: SerialHandle, value: Any) -> None:
    if isinstance(value, SerialHandle):
        cycles.adopt(task, value)
        task.source = value
        return
    if isinstance(value, codec.Handle):
        value = value.get()  # type: ignore[attr-defined]  # a row, which runs elsewhere
    limits = {"size_limit": conf.SIZE_LIMIT, "depth_limit": conf.DEPTH_LIMIT}
    try:
        task.stored = codec.encode(value, **limits)
    except codec.StandsForResult:
        # A SerialTask has it, which is on a higher rung.
        results = task.subtask(Call(registry.get(RESULTS), (value,)))  # type: ignore[attr-defined]
        cycles.adopt(task, results)
        task.source = results


def _interrupted(
    error: BaseException, task: SerialHandle, options: Options
) -> BaseException:
    """Return what the task is to say of an exception that ended its function."""
    if isinstance(error, RetryLater) and task.put_off >= rules.MOST_IN_A_ROW:
        return rules.too_often(error)
    if not isinstance(error, OutOfTime) or not task.is_overdue():
        return error
    late = TaskTimeout(f"It ran longer than its timeout of {options.timeout:g} s.")
    late.__cause__ = error
    return late


def _may_retry(error: BaseException, task: SerialHandle, options: Options) -> bool:
    if isinstance(error, (RetryLater, GiveUp)):
        return isinstance(error, RetryLater)
    if not isinstance(error, Exception) or task.failures >= options.retries:
        return False
    try:
        return wants_retry(error, options.retry_on)
    except Exception:
        logger.exception("retry_on of %s raised", task.name)
        return False


@contextlib.contextmanager
def _transaction(atomic: bool) -> Iterator[None]:
    if not atomic or not _has_database():
        yield
        return
    with transactions.task_transaction(connections[conf.DATABASE]):
        yield


def _has_database() -> bool:
    engine = settings.DATABASES.get(conf.DATABASE, {}).get("ENGINE", "")
    return engine not in ("", "django.db.backends.dummy")
