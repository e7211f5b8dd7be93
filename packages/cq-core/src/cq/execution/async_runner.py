"""The runner of one claimed coroutine task on an event loop; the database is kept off it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from cq.db import connections
from cq.definitions import registry
from cq.errors import LeaseLost, Revoked
from cq.figures.ends import count_run
from cq.hooks import announce
from cq.hooks.around import around
from cq.runs import left_open, outside_steps
from cq.runs.run import entered
from cq.runs.watcher import watcher
from cq.status import Status

from .attempt import Attempt, LoopAttempt
from .ended import as_timeout
from .outcome import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from cq.hooks.around import Around
    from cq.tables.rows import TaskRow

    from .completer import Completer

#: Runs a function on a thread that may use the database.
InThread = Callable[..., Awaitable[Any]]


def runs_on_the_loop(task: TaskRow) -> bool:
    """Tell whether a claimed task runs on the loop: ``async def`` and not atomic."""
    try:
        # Most are not, and each task is asked for: its options cost more.
        if not registry.get(task.name).is_async:
            return False
        attempt = Attempt(task)
        attempt.prepare()
    except Exception:
        return False  # the thread that runs it says what is wrong
    return not attempt.atomic


async def execute(
    task: TaskRow,
    completer: Completer | None,
    in_thread: InThread,
    now: datetime | None = None,
) -> bool:
    """As :func:`cq.execution.sync_runner.execute`, awaiting the function on this loop."""
    return await AsyncRunner(task, now).execute(completer, in_thread)


class AsyncRunner:
    """One run of a coroutine function, on the loop that awaits."""

    def __init__(self, task: TaskRow, now: datetime | None) -> None:
        self.attempt = LoopAttempt(task, now)
        self.outcome = Outcome(self.attempt)
        #: What the project has put around the run, if anything.
        self.around: Around | None = None

    async def execute(self, completer: Completer | None, in_thread: InThread) -> bool:
        handed_over = False
        try:
            await in_thread(self._start)
            with entered(self.attempt.run):
                if self.around is None:
                    value = await self._call()
                else:
                    value = await self.around.awhole(self._call)
            if self.attempt.run.suspended is not None:
                # Whatever has made a value of it.
                raise self.attempt.run.suspended
            result = None
            if completer and self.attempt.is_plain:
                result = self.outcome.plain_result(value)
            if completer and result is not None:
                await in_thread(self.outcome.flush_log)
                completer.add(self.attempt.claim, result)
                handed_over = True
            else:
                await in_thread(self.outcome.settle, value)
        except (Revoked, LeaseLost) as error:
            await in_thread(self.outcome.stopped, error)
        except BaseException as error:
            await in_thread(self.outcome.failed, as_timeout(self.attempt, error))
            if not isinstance(error, Exception) and self._is_control(error):
                raise
        finally:
            self.attempt.task.bind(None)
            if self.attempt.backs_off:
                await in_thread(self.attempt.back_off)
        if handed_over:
            count_run(self.attempt.task, self.attempt.run.began, Status.COMPLETE)
            return True
        left: bool = await in_thread(self.outcome.report, completer)
        return left

    def _start(self) -> None:
        self.attempt.prepare()
        self.attempt.enter().on_loop = True
        announce.started(self.attempt.task)
        self.call_args = self.attempt.arguments()
        if not self.attempt.takes_result:
            self.around = around(self.attempt.task)

    async def _call(self) -> Any:
        args, kwargs = self.call_args
        if self.attempt.takes_result:
            return args[0]
        watcher.add(self.attempt.run)
        try:
            async with outside_steps.awatched(self.attempt.run):
                value = await self.attempt.awaited(self.attempt.task, *args, **kwargs)
            await left_open.check_shared()
            return value
        except Exception:
            # Coroutines share one thread for the ORM, and nobody else looks after it.
            await sync_to_async(connections.drop_broken)()
            await left_open.roll_back_shared()
            raise
        finally:
            watcher.discard(self.attempt.run)

    @staticmethod
    def _is_control(error: BaseException) -> bool:
        # A cancelled loop goes on ending; what a task raised itself stays with it.
        return isinstance(error, (KeyboardInterrupt, GeneratorExit))
