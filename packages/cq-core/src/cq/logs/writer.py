"""The log writer: lines and progress of running tasks, on their way to the top-level task.

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

from cq.db import error_codes, outage
from cq.text import LONGEST_LINE, storable
from cq.threads import start_thread

from .storage import write

if TYPE_CHECKING:
    from collections.abc import Callable

    from .buffer import LogBuffer
    from .progress import Progress

logger = logging.getLogger("cq.task")
own_logger = logging.getLogger("cq.logs")

#: Seconds between two writes for one process, however many lines come.
SECONDS_BETWEEN_WRITES = 0.1
#: Seconds without a line until the writing thread gives its connection back.
IDLE_SECONDS = 1.0
#: Seconds to wait for a lock on a row. The task itself may hold it, and then wait for
#: this thread at its end, which no database could see as a deadlock.
LOCK_TIMEOUT_SECONDS = 0.5


class LogWriter:
    """The writer of this process's log buffers, on a thread that ends when idle."""

    def __init__(self) -> None:
        #: None: a thread of its own writes.
        self._wake: Callable[[], None] | None = None
        self._condition = threading.Condition()
        self._dirty: dict[int, LogBuffer] = {}
        self._thread: threading.Thread | None = None
        self._warned = 0.0

    def attach(self, wake: Callable[[], None]) -> None:
        """Leave the writing to a thread that has a connection already.

        wake: has that thread call `flush` soon; called on any thread, and may not wait.
        """
        with self._condition:
            self._wake = wake

    def detach(self) -> None:
        """Write on a thread of its own again."""
        with self._condition:
            self._wake = None

    def touch(self, buffer: LogBuffer) -> None:
        """See to it that `buffer` is written soon."""
        with self._condition:
            self._dirty[id(buffer)] = buffer
            if self._wake is not None:
                self._wake()
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = start_thread(self._work, "cq-logs", own_logger)
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
                time.sleep(SECONDS_BETWEEN_WRITES)
        finally:
            for alias in aliases:
                connections[alias].close()

    def _next(self) -> list[LogBuffer]:
        """Wait for buffers to write; none when it is time to end."""
        with self._condition:
            if not self._dirty and self._thread is threading.current_thread():
                self._condition.wait(IDLE_SECONDS)
            batch = list(self._dirty.values())
            self._dirty.clear()
            if not batch and self._thread is threading.current_thread():
                self._thread = None
            return batch

    def _write(self, buffer: LogBuffer) -> None:
        try:
            write(buffer, LOCK_TIMEOUT_SECONDS)
        except Exception as error:
            if error_codes.is_lock_timeout(error):
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


def append_line(
    buffer: LogBuffer,
    message: str,
    level: int,
    publish: bool,
    limit: int | None,
    public: bool = False,
) -> None:
    """Log a line of a running task: to ``cq.task``, and to the stored log."""
    if len(message) > LONGEST_LINE:
        # Before the handlers have it: they may send it over a network.
        message = storable(message, LONGEST_LINE)
    logger.log(level, "%s", message, extra={"task_id": str(buffer.task_id)})
    buffer.add(message, level, publish, limit, public)
    if publish:
        schedule_write(buffer)


def publish_progress(buffer: LogBuffer, progress: Progress) -> None:
    """Set how far a running task is."""
    buffer.set_progress(progress)
    schedule_write(buffer)


def schedule_write(buffer: LogBuffer) -> None:
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
        outage.log(
            own_logger,
            error,
            "%d lines of task %s were not stored",
            len(buffer.ready),
            buffer.task_id,
        )
