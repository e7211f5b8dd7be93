"""The writer of a process's figures: every few seconds, where something was counted.

In a worker that is a job of its maintenance. Elsewhere, and on SQLite, it is a thread,
which begins with the first run that ends and goes when no more do.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
import time
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from django.core import mail
from django.db import connections

from cq.conf import conf
from cq.db import missing_tables, outage
from cq.threads import start_thread

from .adding import MOST_AT_ONCE, add
from .ahead import add_up
from .counter import Counter
from .folding import fold_figures

if TYPE_CHECKING:
    from .counter import Counted

logger = logging.getLogger("cq.figures")

#: Seconds between two writes; on SQLite, where each holds up all others.
SECONDS_BETWEEN_WRITES, SECONDS_ON_SQLITE = 10.0, 30.0
#: Seconds between two folds by a process that is no worker: it may be the only one.
SECONDS_BETWEEN_FOLDS = 600.0
#: Seconds in which what is left has to be written when the process ends.
EXIT_SECONDS = 2.0


class FigureWriter:
    """The writer of this process, whatever its threads and forks."""

    def __init__(self) -> None:
        self.counter = Counter(self._start)
        self._next_fold = 0.0
        self._reset()
        if hasattr(os, "register_at_fork"):
            # What the parent has counted, the parent writes.
            os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.close)

    def _reset(self) -> None:
        self.counter.reset()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        #: Workers of this process that write by themselves.
        self._attached = 0
        self._told = False

    def attach(self) -> None:
        """Leave the writing to somebody who calls `flush` every so often."""
        with self._condition:
            self._attached += 1

    def detach(self) -> None:
        """Write on a thread again; what is there wants one more `flush`."""
        with self._condition:
            self._attached -= 1

    def flush(self) -> float:
        """Write what was counted, on this thread; return the seconds to the next time.

        What cannot be written is kept for then. Never raises for the database's sake.
        """
        by_database: defaultdict[str, Counted] = defaultdict(dict)
        for key, numbers in self.counter.take().items():
            by_database[key[0]][key] = numbers
        for using, rows in by_database.items():
            self._write(using, rows)
        # The seconds are those that a kill may lose.
        return seconds_between_writes(conf.DATABASE) * random.uniform(0.8, 1.0)

    def _write(self, using: str, rows: Counted) -> None:
        try:
            while some := list(islice(rows.items(), MOST_AT_ONCE)):
                add(using, some)
                for key, _ in some:
                    del rows[key]
        except Exception as error:
            lost = self.counter.put_back(rows)
            if not connections[using].in_atomic_block:
                connections[using].close()
            self._tell(using, error, lost)
            self._start()
        else:
            if self._told:
                self._told = False
                logger.warning("figures are written again")

    def _tell(self, using: str, error: Exception, lost: int) -> None:
        known = self._told and not lost
        level = logging.DEBUG if known else outage.log_level(error)
        reason = missing_tables.remedy(error, using) or outage.first_line(error)
        logger.log(
            level,
            "figures could not be written, and are kept for the next time%s: %s",
            f" but for {lost} rows, the oldest" if lost else "",
            reason,
        )
        self._told = True

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """End the thread, which writes what is there; a later count starts it anew."""
        with self._condition:
            thread = self._thread
            self._closing = True
            self._condition.notify_all()
        if thread is not None:
            thread.join(timeout)
        self._closing = False

    # --- the thread -------------------------------------------------------------------

    def _start(self) -> None:
        # With an outbox this is Django's test runner: the database is a test's, and may be
        # gone by then. Who wants figures there calls `flush`.
        if self._attached or hasattr(mail, "outbox"):
            return
        with self._condition:
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = start_thread(self._work, "cq-figures", logger)

    def _work(self) -> None:
        seconds = seconds_between_writes(conf.DATABASE)
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closing, seconds)
            try:
                seconds = self.flush()
                self._fold_now_and_then()
            finally:
                connections.close_all()
            with self._condition:
                # Here: a count that comes behind this look starts another thread.
                if not self.counter or self._closing:
                    self._thread = None
                    return

    def _fold_now_and_then(self) -> None:
        if self._closing or time.monotonic() < self._next_fold:
            return
        self._next_fold = time.monotonic() + SECONDS_BETWEEN_FOLDS
        try:
            fold_figures(conf.DATABASE)
            add_up(conf.DATABASE)
        except Exception:
            logger.debug("figures could not be folded", exc_info=True)


def seconds_between_writes(using: str) -> float:
    """Return how often figures are written to a database."""
    if connections[using].vendor == "sqlite":
        return SECONDS_ON_SQLITE
    return SECONDS_BETWEEN_WRITES


writer = FigureWriter()
