"""A task called like a function: the same workflows and outcomes, without a row.

Children run when they are made and keep their outcome. The first failure is raised, as
itself, by the call that started it all, once the function and the errorbacks have run.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import connections

from . import codec, transactions
from .calls import CHAIN, GROUP, AnyCall, Call, ChainCall, GroupCall, as_call, encoded
from .calls import frozen as frozen_call
from .codec import Handle
from .conf import conf
from .errors import AlreadySettled, CycleError, DepthError, TaskFailed
from .retrying import wants_retry
from .rows import EdgeRow
from .runs import current, entered
from .serial_handle import SerialHandle
from .status import FAILED, FINAL, SUCCEEDED, Status

if TYPE_CHECKING:
    from .options import Options

T = TypeVar("T")

task_logger = logging.getLogger("cq.task")
logger = logging.getLogger("cq.serial")


class SerialTask(SerialHandle):
    """The double of :class:`cq.models.Task`: what `cqt` is in a serial run."""

    parent: SerialTask | None

    def subtask(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        self._open("nothing can be added under it")
        return run(as_call(what, args, kwargs), self)

    def chain(
        self,
        what: Any,
        /,
        *args: Any,
        when: str = EdgeRow.WHEN_COMPLETE,
        **kwargs: Any,
    ) -> SerialTask:
        if when not in EdgeRow.WHEN:
            raise ValueError(
                f"when is {when!r}, but must be one of {', '.join(EdgeRow.WHEN)}"
            )
        call = as_call(what, args, kwargs)
        return self._follow(frozen_call(call) if when == "failed" else call, when)

    def errorback(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        return self._follow(frozen_call(as_call(what, args, kwargs)), "failed")

    def _follow(self, call: AnyCall, when: str) -> SerialTask:
        if isinstance(call, Call):
            call = call.after(self)
        if self.status in FINAL:
            return _follow(call, self, when, None)
        later = SerialTask(_name(call), self.parent, self)
        later.status = Status.PENDING
        self.following.append(lambda: _follow(call, self, when, later))
        return later

    async def asubtask(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        return await sync_to_async(self.subtask)(what, *args, **kwargs)

    async def achain(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        return await sync_to_async(self.chain)(what, *args, **kwargs)

    async def aerrorback(self, what: Any, /, *args: Any, **kwargs: Any) -> SerialTask:
        return await sync_to_async(self.errorback)(what, *args, **kwargs)

    def _open(self, consequence: str) -> None:
        if self.status in FINAL:
            raise AlreadySettled(f"{self.name} has settled; {consequence}")


def current_serial() -> SerialTask | None:
    """Return the serial run that this code belongs to."""
    task = current.get()
    return task if isinstance(task, SerialTask) else None


def call(definition: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a task here and now; return its result, or raise the first failure."""
    task = run(Call(definition, args, kwargs), None)
    if task.raised is not None:
        raise task.raised
    if task.status in FAILED:
        raise TaskFailed(task)
    return task.result


def launch(what: AnyCall) -> SerialTask:
    """Do what ``.delay()`` does in a serial run: its failure is logged, not raised."""
    task = run(what, None)
    _log_failure(task)
    return task


def _log_failure(task: SerialTask) -> None:
    if task.raised is not None:
        logger.error("%s raised", task.name, exc_info=task.raised)


def run(
    what: AnyCall,
    parent: SerialTask | None,
    previous: Any = None,
    task: SerialTask | None = None,
) -> SerialTask:
    """Run a call to its end, under `parent`; `task` is its handle where one is out."""
    if task is None:
        task = SerialTask(_name(what), parent, previous)
    if task.depth > conf.MAX_TREE_DEPTH:
        raise DepthError(
            f"{task.name} would be {task.depth} levels below the top-level task; "
            f"CQ_MAX_TREE_DEPTH is {conf.MAX_TREE_DEPTH}"
        )
    task.status = Status.RUNNING
    if parent is not None:
        parent.subtasks.append(task)
    if isinstance(what, GroupCall):
        members = [run(_after(m, previous), task, previous) for m in what.members]
        task.result = [member.result for member in members]
    elif isinstance(what, ChainCall):
        _run_chain(what, task, previous)
    else:
        _run_call(what, task)
        if task.status in FINAL:
            return task
    _settle(task)
    return task


def _run_chain(what: ChainCall, task: SerialTask, previous: Any) -> None:
    last = previous
    for number, step in enumerate(what.steps):
        step = _after(step, last)
        if number == 0:
            last = run(step, task, last)
        else:
            last = _follow(step, last, EdgeRow.WHEN_COMPLETE, None, parent=task)
    task.result = last.result


def _after(what: AnyCall, previous: Any) -> AnyCall:
    if previous is not None and isinstance(what, Call):
        return what.after(previous)
    return what


def _run_call(what: Call, task: SerialTask) -> None:
    definition = what.definition
    definition.check_arguments(what.args, what.kwargs)
    args_text, kwargs_text, handles = encoded(what.args, what.kwargs)
    for handle in handles:
        if handle.status == Status.SKIPPED and handle is not task.previous:  # type: ignore[attr-defined]
            task.settle(Status.SKIPPED)
            return
        blocked = _blocking(handle, task)
        if blocked:
            task.settle(Status.INCOMPLETE, blocked)
            return

    def results(start: int, count: int) -> list[Any]:
        return [h.result for h in handles[start : start + count]]  # type: ignore[attr-defined]

    options = what.options
    while True:
        task.attempts += 1
        chained = len(task.following)
        try:
            task.args, task.kwargs = codec.decode_call(args_text, kwargs_text, results)
            _attempt(what, task, options)
            return
        except BaseException as error:
            if options.atomic:
                # What it chained to itself is undone with the rest.
                del task.following[chained:]
            task.subtasks.clear()
            again = (
                isinstance(error, Exception)
                and task.attempts <= options.retries
                and wants_retry(error, options.retry_on)
            )
            if again:
                continue  # at once: whoever called is waiting
            task.fail(error)
            if not isinstance(error, Exception):
                task.settle(Status.FAILURE)
                raise
            return


def _attempt(what: Call, task: SerialTask, options: Options) -> None:
    function: Any = what.definition.function
    if what.definition.is_async:
        function = async_to_sync(function)
    with _transaction(options.atomic), entered(task):
        value = function(task, *task.args, **task.kwargs)
        if options.atomic and _has_database():
            transactions.check_sound(conf.DATABASE)
        if isinstance(value, Handle):
            task.result = _take_over(task, value)
        else:
            limits = {"size_limit": conf.SIZE_LIMIT, "depth_limit": conf.DEPTH_LIMIT}
            task.result = codec.decode(codec.encode(value, **limits))


def _take_over(task: SerialTask, handle: Any) -> Any:
    """Make a returned handle a child, and its result the task's."""
    if not isinstance(handle, SerialTask):
        return handle.get()  # the handle of a row, which runs elsewhere
    if handle.status not in FINAL:
        # All that was made here has run, but for what waits for this one.
        raise CycleError(f"{task.name} returned {handle!r}, which waits for it")
    if handle.parent is None:
        handle.parent = task
        task.subtasks.append(handle)
    elif handle.parent is not task:
        raise TypeError(
            f"{task.name} returned {handle.name}, which is a subtask of "
            f"{handle.parent!r}; a task has one parent"
        )
    return handle.result


def _settle(task: SerialTask) -> None:
    failed = next((c for c in task.subtasks if c.status in FAILED), None)
    if task.raised is not None:
        task.settle(Status.FAILURE)
    elif failed is not None:
        task.raised = failed.raised
        task.settle(
            Status.INCOMPLETE,
            f"subtask {failed.name} {failed.id} is {failed.status}: {failed.error}",
        )
    else:
        task.settle(Status.COMPLETE)


def _follow(
    what: AnyCall,
    previous: SerialTask,
    when: str,
    task: SerialTask | None,
    parent: SerialTask | None = None,
) -> SerialTask:
    """Run what was chained to a settled task, or settle it, as `when` says."""
    under = parent or previous.parent
    if parent is None and under is not None and under.status in FINAL:
        raise AlreadySettled(f"{under.name} has settled; nothing can be added under it")
    comes_true = {
        EdgeRow.WHEN_COMPLETE: previous.status == Status.COMPLETE,
        EdgeRow.WHEN_FAILED: previous.status in FAILED,
        EdgeRow.WHEN_SETTLED: True,
    }[when]
    if comes_true:
        task = run(what, under, previous, task)
        if under is None:
            _log_failure(task)
        return task
    task = task or SerialTask(_name(what), under, previous)
    if under is not None:
        under.subtasks.append(task)
    if when == EdgeRow.WHEN_FAILED or previous.status == Status.SKIPPED:
        task.settle(Status.SKIPPED)
    else:
        task.raised = previous.raised
        task.settle(Status.INCOMPLETE, _reason(previous))
    return task


def _blocking(handle: Any, task: SerialTask) -> str | None:
    """Why a task cannot run whose argument this handle is; None when it can."""
    if handle.status in SUCCEEDED or (
        handle is task.previous and handle.status in FINAL
    ):
        return None
    if handle.status not in FINAL:
        raise CycleError(f"{task.name} would wait for {handle!r}, which is not done")
    if isinstance(handle, SerialTask):
        task.raised = handle.raised
    return _reason(handle)


def _reason(upstream: Any) -> str:
    return (
        f"predecessor {upstream.name} {upstream.id} is {upstream.status}: "
        f"{upstream.error}"
    )


def _name(what: AnyCall) -> str:
    if isinstance(what, Call):
        return what.definition.name
    return GROUP if isinstance(what, GroupCall) else CHAIN


def _transaction(atomic: bool) -> Any:
    if not atomic or not _has_database():
        return contextlib.nullcontext()
    return transactions.together(connections[conf.DATABASE])


def _has_database() -> bool:
    engine = settings.DATABASES.get(conf.DATABASE, {}).get("ENGINE", "")
    return engine not in ("", "django.db.backends.dummy")
