"""The slots for coroutine tasks: one event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.execution import async_runner
from cq_channels.own_threads import CriticalThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.execution.completer import Completer
    from cq.tables.rows import TaskRow

    from .run_observer import RunObserver


class LoopSlots:
    """The slots for coroutine tasks: `count` at once on one event loop.

    threads: how many threads do the database work of all coroutines.
    """

    def __init__(
        self, count: int, threads: int, completer: Completer, observer: RunObserver
    ) -> None:
        self.count = count
        self.completer = completer
        self.observer = observer
        # Each is written by one thread only: the claimer, and the loop.
        self._begun = 0
        self._ended = 0
        self._loop = asyncio.new_event_loop()
        #: The loop itself keeps only weak references to its tasks.
        self._kept: set[asyncio.Task[None]] = set()
        # Coroutines query the database on no more connections than the threads have.
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="cq-loop-db")
        self._thread = CriticalThread(self._work, "cq-loop", observer.thread_died)

    def start(self) -> None:
        self._thread.start()

    @property
    def free(self) -> int:
        """How many slots would start a task at once."""
        return self.count - (self._begun - self._ended)

    @property
    def alive(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def put(self, task: TaskRow) -> None:
        self._begun += 1
        self._loop.call_soon_threadsafe(self._begin, task)

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until nothing runs; whether that is so."""
        if not self._thread.is_alive():
            return self._begun == self._ended
        done = asyncio.run_coroutine_threadsafe(self._idle(timeout), self._loop)
        return done.result()

    def close(self) -> None:
        """Cancel what still runs, and end the loop."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5.0)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _idle(self, timeout: float) -> bool:
        me = asyncio.current_task()
        others = [t for t in asyncio.all_tasks() if t is not me]
        if not others:
            return True
        _, pending = await asyncio.wait(others, timeout=timeout)
        return not pending

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.close()

    def _begin(self, task: TaskRow) -> None:
        running = self._loop.create_task(self._run(task), name=str(task))
        self._kept.add(running)
        running.add_done_callback(self._kept.discard)

    async def _run(self, task: TaskRow) -> None:
        handed_over, began = False, time.monotonic()
        self.observer.started(task)
        try:
            handed_over = await async_runner.execute(
                task, self.completer, self._in_thread
            )
        except KeyboardInterrupt:
            # The task's own, as its row says: no signal is heard on this thread.
            pass
        except Exception as error:
            self.observer.unwritten(task, error)
        finally:
            self._ended += 1
            self.observer.finished(task, handed_over, time.monotonic() - began)

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._loop.run_in_executor(
            self._pool, _with_checked_connections, function, args
        )


def _with_checked_connections(
    function: Callable[..., Any], args: tuple[Any, ...]
) -> Any:
    try:
        return function(*args)
    finally:
        for connection in connections.all(initialized_only=True):
            if connection.errors_occurred:
                connection.close_if_unusable_or_obsolete()
