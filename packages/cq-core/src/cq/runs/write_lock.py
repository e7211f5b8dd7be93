"""SQLite's one write lock, as a run holds it: seen from another thread, without a query."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.runner")

#: Seconds that an atomic task may hold the lock before a warning names it.
WARN_SECONDS = 2.0

#: Names of the tasks that this process has warned of.
_warned: set[str] = set()


class WriteLock:
    """The write lock of one atomic run on SQLite, from the begin of its transaction.

    The transaction takes it with its first write, and that changes SQLite's count of
    changed rows, which any thread may read.
    """

    def __init__(self, raw: Any, at_once: bool) -> None:
        self._raw = raw
        self._changes: int = raw.total_changes
        self._since = time.monotonic() if at_once else None

    def seconds(self, now: float) -> float:
        """Return for how long it has been seen to be held, by the monotonic clock."""
        if self._since is None:
            if self._raw.total_changes == self._changes:
                return 0.0
            self._since = now
        return now - self._since

    def warn_if_long(self, task: TaskRow, now: float) -> None:
        """Log a warning if it has been held for long: one for each name."""
        if task.name in _warned:
            return
        try:
            seconds = self.seconds(now)
        except sqlite3.Error:  # it is being closed at this moment
            return
        if seconds >= WARN_SECONDS:
            _warned.add(task.name)
            logger.warning(
                "%s %s has held SQLite's write lock for %.0f s: until it ends nobody "
                "else can write, the site included. Split it into short subtasks, or "
                "give it atomic=False",
                task.name,
                task.pk,
                seconds,
            )
