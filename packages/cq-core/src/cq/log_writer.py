"""Lines and progress of running tasks, gathered at the top-level task.

While an atomic task runs, its own transaction hides what it writes and may yet undo
it. So lines go through a thread with a connection of its own, that writes for all runs
of this process a few times a second. Where that can't be (SQLite's one write lock is
held by the task itself, or the whole run is inside somebody's transaction) they are
kept in memory and written on the task's connection.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from django.db import DatabaseError, connections

from . import lock_waits
from .logs import LogBuffer, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from .progress import Progress

logger = logging.getLogger("cq.task")
own_logger = logging.getLogger("cq.logs")

#: Seconds between two writes for one process, however many lines come.
PAUSE = 0.1
#: Seconds without a line until the writing thread gives its connection back.
LINGER = 1.0
#: Seconds to wait for a lock on a row. The task itself may hold it, and then wait for
#: this thread at its end, which no database could see as a deadlock.
PATIENCE = 0.5


class LogWriter:
    """Writes the buffers of this process, on a thread that ends when idle."""

    def __init__(self) -> None:
        #: Has `flush` called soon, by a thread with a connection; None: a thread of its
        #: own writes.
        self.wake: Callable[[], None] | None = None
        self._condition = threading.Condition()
        self._dirty: dict[int, LogBuffer] = {}
        self._thread: threading.Thread | None = None
        self._warned = 0.0

    def touch(self, buffer: LogBuffer) -> None:
        """See to it that `buffer` is written soon."""
        with self._condition:
            self._dirty[id(buffer)] = buffer
            wake = self.wake
            if wake is not None:
                wake()
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._work, name="cq-logs", daemon=True
                )
                self._thread.start()
            self._condition.notify()

    def flush(self) -> float:
        """Write what is there on the caller's thread; then infinity: nothing is due."""
        with self._condition:
            batch = list(self._dirty.values())
            self._dirty.clear()
        for buffer in batch:
            self._write(buffer)
        return math.inf

    def close(self, timeout: float = 5.0) -> None:
        """Write what is there and end the thread."""
        with self._condition:
            thread, self._thread = self._thread, None
            self._condition.notify()
        if thread is not None:
            thread.join(timeout)
        elif self._dirty:
            self.flush()

    def _work(self) -> None:
        aliases: set[str] = set()
        try:
            while batch := self._next():
                for buffer in batch:
                    aliases.add(buffer.using)
                    self._write(buffer)
                time.sleep(PAUSE)
        finally:
            for alias in aliases:
                connections[alias].close()

    def _next(self) -> list[LogBuffer]:
        """Wait for buffers to write; none when it is time to end."""
        with self._condition:
            if not self._dirty and self._thread is threading.current_thread():
                self._condition.wait(LINGER)
            batch = list(self._dirty.values())
            self._dirty.clear()
            if not batch and self._thread is threading.current_thread():
                self._thread = None
            return batch

    def _write(self, buffer: LogBuffer) -> None:
        try:
            write(buffer, PATIENCE)
        except Exception as error:
            if lock_waits.has_run_out(error):
                self.touch(buffer)
                return
            connections[buffer.using].close()
            if time.monotonic() - self._warned > 60:
                self._warned = time.monotonic()
                own_logger.warning(
                    "Lines of task %s are not stored yet (%s); they are kept and "
                    "tried again with its next line or at its end.",
                    buffer.task_id,
                    error,
                )


writer = LogWriter()


def say(
    buffer: LogBuffer, message: str, level: int, publish: bool, limit: int | None
) -> None:
    """Log a line of a running task: to ``cq.task``, and to the stored log."""
    logger.log(level, "%s", message, extra={"task_id": str(buffer.task_id)})
    buffer.add(message, level, publish, limit)
    if publish:
        _stir(buffer)


def show(buffer: LogBuffer, progress: Progress) -> None:
    """Set how far a running task is."""
    buffer.set_progress(progress)
    _stir(buffer)


def _stir(buffer: LogBuffer) -> None:
    if buffer.beside:
        writer.touch(buffer)
    elif buffer.outside or not connections[buffer.using].in_atomic_block:
        write_or_warn(buffer)


def write_or_warn(buffer: LogBuffer) -> None:
    """Write on this thread's connection; a database in trouble costs lines, no task."""
    try:
        write(buffer)
    except DatabaseError as error:
        if connections[buffer.using].needs_rollback:
            # It ended the transaction that this stands in, and is why the task fails.
            raise
        own_logger.warning(
            "%d lines of task %s were not stored: %s",
            len(buffer.ready),
            buffer.task_id,
            error,
        )
