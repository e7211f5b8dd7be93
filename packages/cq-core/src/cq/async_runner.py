"""Runs one claimed coroutine task on an event loop; the database is kept off it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from . import registry, transactions
from .attempt import Attempt, is_handle
from .errors import LeaseLost, Revoked
from .runs import entered
from .watching import watcher

if TYPE_CHECKING:
    from datetime import datetime

    from .completer import Completer
    from .models import Task

#: Runs a function on a thread that may use the database.
InThread = Callable[..., Awaitable[Any]]


def suits(task: Task) -> bool:
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
    task: Task,
    completer: Completer | None,
    in_thread: InThread,
    now: datetime | None = None,
) -> bool:
    """As :func:`cq.runner.execute`, awaiting the function on this loop."""
    return await AsyncAttempt(task, now).aexecute(completer, in_thread)


class AsyncAttempt(Attempt):
    """One run of a coroutine function."""

    async def aexecute(self, completer: Completer | None, in_thread: InThread) -> bool:
        handed_over = False
        try:
            await in_thread(self._start)
            with entered(self.run):
                value = await self._call()
            if completer and not self.run.children and not is_handle(value):
                result = self.encode(value)
                await in_thread(self._flush_log)
                completer.add(self.claim, result)
                handed_over = True
            else:
                await in_thread(self.settle, value)
        except (Revoked, LeaseLost) as error:
            await in_thread(self.stopped, error)
        except BaseException as error:
            await in_thread(self.failed, self.interrupted(error))
            if not isinstance(error, Exception) and self._is_control(error):
                raise
        finally:
            self.task.bind(None)
        return handed_over or await in_thread(self.report, completer)

    def _start(self) -> None:
        self.prepare()
        self.enter()
        self.call_args = self.arguments()

    async def _call(self) -> Any:
        args, kwargs = self.call_args
        assert self.definition is not None
        self.definition.check_arguments(args, kwargs)
        watcher.add(self.run)
        try:
            return await self.awaited(self.task, *args, **kwargs)
        except Exception:
            # Coroutines share one thread for the ORM, and nobody else looks after it.
            await sync_to_async(transactions.drop_broken)()
            raise
        finally:
            watcher.discard(self.run)

    @staticmethod
    def _is_control(error: BaseException) -> bool:
        # A cancelled loop goes on ending; what a task raised itself stays with it.
        return isinstance(error, (KeyboardInterrupt, GeneratorExit))
