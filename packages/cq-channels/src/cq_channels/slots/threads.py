"""The slots for sync tasks: threads, each with its own database connections."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.execution import sync_runner
from cq_channels.own_threads import CriticalThread

from .process_cleanup import ProcessCleanup
from .session_cleanup import SessionCleanup

if TYPE_CHECKING:
    from cq.execution.completer import Completer
    from cq.tables.rows import TaskRow

    from .run_observer import RunObserver


#: A mark among the tasks that wait: the first of those that go before all others.
_FIRST: Any = object()


class ThreadSlots:
    """The slots for sync tasks: `count` threads, and the claimed tasks that wait."""

    def __init__(self, count: int, completer: Completer, observer: RunObserver) -> None:
        self.count = count
        self.completer = completer
        self.observer = observer
        self._tasks: queue.SimpleQueue[TaskRow | None] = queue.SimpleQueue()
        #: What starts before all others that wait; for each there is a `_FIRST` in `_tasks`.
        self._first: deque[TaskRow] = deque()
        #: By thread: when it started what it runs.
        self._started: dict[int, float] = {}
        #: Seconds that a run takes, smoothed; decides how far to claim ahead.
        self.duration = 1.0
        self._process_cleanup = ProcessCleanup()
        self._threads = [
            CriticalThread(self._work, f"cq-task-{n}", observer.thread_died)
            for n in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def free(self) -> int:
        """How many slots would start a task at once."""
        return self.count - len(self._started) - self._tasks.qsize()

    @property
    def waiting(self) -> int:
        """How many tasks are claimed ahead, and have not started."""
        return self._tasks.qsize()

    def all_busy_for(self) -> float:
        """Return the seconds for which no slot has begun or ended anything; 0.0: one is free."""
        started = list(self._started.values())
        return time.monotonic() - max(started) if len(started) >= self.count else 0.0

    @property
    def waiting_first(self) -> int:
        """How many of them start before all others."""
        return len(self._first)

    def put(self, task: TaskRow) -> None:
        self._tasks.put(task)

    def put_first(self, task: TaskRow) -> None:
        """As `put`, before all others that wait."""
        self._first.append(task)
        self._tasks.put(_FIRST)

    @property
    def alive(self) -> bool:
        """Whether no thread has ended, with or without telling of it."""
        return all(thread.is_alive() for thread in self._threads)

    def take_back(self) -> list[TaskRow]:
        """Return the tasks that have not started, to be handed back."""
        found: list[TaskRow] = []
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return found
            if task is _FIRST:
                task = self._first.popleft()
            if task is not None:
                found.append(task)

    def close(self) -> None:
        """End each thread when it is next free."""
        for _ in self._threads:
            self._tasks.put(None)

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the threads to end; whether all did."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _next(self) -> TaskRow | None:
        """Return the task that is to start, once there is one; None: there are no more."""
        task = self._tasks.get()
        if not self._first or task is None:
            return task
        if task is not _FIRST:
            # It is the next behind them, by one of their marks.
            self._first.append(task)
        return self._first.popleft()

    def _work(self) -> None:
        me = threading.get_ident()
        session_cleanup = SessionCleanup()
        try:
            while (task := self._next()) is not None:
                started = time.monotonic()
                self._started[me] = started
                handed_over = False
                self.observer.started(task)
                try:
                    handed_over = self._run(task)
                finally:
                    session_cleanup.clean(task)
                    del self._started[me]
                    took = time.monotonic() - started
                    # Lost updates between threads don't matter to an average.
                    self.duration += (took - self.duration) * 0.1
                    self._process_cleanup.clean(task, took, alone=not self._started)
                    if self._process_cleanup.spoiled is not None:
                        self.observer.spoiled(self._process_cleanup.spoiled)
                    self.observer.finished(task, handed_over, took)
        finally:
            connections.close_all()

    def _run(self, task: TaskRow) -> bool:
        """Run a task; whether the completer writes its outcome."""
        try:
            # What it sets in its context (time zone, language) ends with it.
            return copy_context().run(sync_runner.execute, task, self.completer)
        except KeyboardInterrupt:
            # The task's own, as its row says: no signal is heard on this thread.
            return False
        except Exception as error:
            self.observer.unwritten(task, error)
            return False
