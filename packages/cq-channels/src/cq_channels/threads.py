"""The slots for sync tasks: threads, each with its own database connections."""

from __future__ import annotations

import queue
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING

from django.db import connections

from cq import runner

from .sessions import Sessions
from .surroundings import Surroundings
from .vital import VitalThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.completer import Completer
    from cq.models import Task


class ThreadSlots:
    """Runs claimed tasks on `count` threads."""

    def __init__(
        self,
        count: int,
        completer: Completer,
        begin: Callable[[Task], None],
        finished: Callable[[Task, bool], None],
        unwritten: Callable[[Task, Exception], None],
        died: Callable[[str], None],
    ) -> None:
        self.count = count
        self.completer = completer
        self.begin = begin
        self.unwritten = unwritten
        self.finished = finished
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        #: By thread: when it started what it runs.
        self._started: dict[int, float] = {}
        #: Seconds that a run takes, smoothed; decides how far to claim ahead.
        self.duration = 1.0
        self._surroundings = Surroundings()
        self._threads = [
            VitalThread(self._work, f"cq-task-{n}", died) for n in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def free(self) -> int:
        """Slots that would start a task at once."""
        return self.count - len(self._started) - self._tasks.qsize()

    @property
    def waiting(self) -> int:
        """Tasks claimed ahead, not started."""
        return self._tasks.qsize()

    def longest(self) -> float:
        """Seconds that the longest of the present runs has taken so far."""
        started = list(self._started.values())
        return time.monotonic() - min(started) if started else 0.0

    def put(self, task: Task) -> None:
        self._tasks.put(task)

    def take_back(self) -> list[Task]:
        """Return the tasks that have not started, to be handed back."""
        found: list[Task] = []
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return found
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

    def _work(self) -> None:
        me = threading.get_ident()
        sessions = Sessions()
        try:
            while (task := self._tasks.get()) is not None:
                started = time.monotonic()
                self._started[me] = started
                handed_over = False
                self.begin(task)
                try:
                    handed_over = self._run(task)
                finally:
                    sessions.clean(task)
                    del self._started[me]
                    took = time.monotonic() - started
                    # Lost updates between threads don't matter to an average.
                    self.duration += (took - self.duration) * 0.1
                    self._surroundings.look(task, took, alone=not self._started)
                    self.finished(task, handed_over)
        finally:
            connections.close_all()

    def _run(self, task: Task) -> bool:
        """Run a task; whether the completer writes its outcome."""
        try:
            # What it sets in its context (time zone, language) ends with it.
            return copy_context().run(runner.execute, task, self.completer)
        except KeyboardInterrupt:
            # The task's own, as its row says: no signal is heard on this thread.
            return False
        except Exception as error:
            self.unwritten(task, error)
            return False
