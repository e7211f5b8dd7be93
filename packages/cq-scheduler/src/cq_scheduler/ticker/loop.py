"""The scheduler's loop: it ticks when schedules are due, until it is stopped."""

from __future__ import annotations

import logging
import math
import threading
import time

from django.db import connections

from cq.db import outage
from cq.db.clock import Moment
from cq_scheduler.actions.sync import make_missing
from cq_scheduler.models import enabled

from .prune import prune
from .tick import tick

logger = logging.getLogger("cq.scheduler")

#: From one look at the table to the next: a schedule may have been made, or changed.
LONGEST_WAIT_SECONDS = 1.0
#: The same while no schedule waits for a slot: the first may have been made.
LONGEST_WAIT_FOR_FIRST_SECONDS = 3.0
#: After a tick that made nothing of what is due: somebody else has locked it.
LOCKED_WAIT_SECONDS = 0.2
#: Between ticks while nothing is due: they find the schedules without a next run.
SECONDS_BETWEEN_IDLE_TICKS = 10.0
SECONDS_BETWEEN_PRUNES = 3600.0


def run(stop: threading.Event, using: str) -> None:
    """Make tasks as their moments come, until `stop` is set."""
    ticks = TickLoop(using)
    delay = outage.ReconnectDelay()
    while not stop.is_set():
        try:
            wait = ticks.run_once()
            delay.reset()
            outage.ended(logger)
        except Exception as error:
            wait = delay.next()
            outage.log(
                logger,
                error,
                "the schedules in %r cannot be looked at; next try in %.1f s",
                using,
                wait,
            )
            connections[using].close()
        stop.wait(wait)


class TickLoop:
    """The state of one loop from tick to tick; for one thread."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._started = False
        self._next_idle_tick = 0.0
        self._next_prune = 0.0

    def run_once(self) -> float:
        """Do what is due; return the seconds until there is something to do again."""
        if not self._started:
            make_missing(self.using)
            self._started = True
        now = time.monotonic()
        if now >= self._next_prune and not prune(self.using):
            self._next_prune = now + SECONDS_BETWEEN_PRUNES
        wait = seconds_until_due(self.using)
        if wait > 0 and now < self._next_idle_tick:
            if wait == math.inf:
                return LONGEST_WAIT_FOR_FIRST_SECONDS
            return min(wait, LONGEST_WAIT_SECONDS)
        self._next_idle_tick = now + SECONDS_BETWEEN_IDLE_TICKS
        return 0.0 if tick(self.using) or wait > 0 else LOCKED_WAIT_SECONDS


def seconds_until_due(using: str) -> float:
    """Return the seconds, by the database's clock, to the first slot; 0: it has come.

    Infinite where no schedule waits for one.
    """
    waiting = enabled(using).filter(next_run__isnull=False)
    row = waiting.order_by("next_run").values_list("next_run", Moment()).first()
    if row is None:
        return math.inf
    next_run, now = row
    seconds: float = (next_run - now).total_seconds()
    return max(0.0, seconds)


class Scheduler:
    """The loop on a thread of its own, beside what else a process does."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="cq-scheduler", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop after the transaction that it is in, and its thread."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            run(self._stop, self.using)
        finally:
            connections[self.using].close()
