"""Ticks at the moments that schedules wait for, until it is stopped."""

from __future__ import annotations

import logging
import math
import threading
import time

from django.db import connections

from cq import outage
from cq.clock import Moment

from .declared import make_missing
from .models import enabled
from .tick import prune, tick

logger = logging.getLogger("cq.scheduler")

# All in seconds.
#: The longest wait between two looks: a schedule may have been made, or changed; and
#: where there is none, the first may have been made.
LOOK, LOOK_FOR_FIRST = 1.0, 3.0
#: After a tick that found its schedules taken or locked by somebody else.
TAKEN = 0.2
#: Between two ticks that look for schedules which don't know their next slot.
UNKNOWN = 10.0
PRUNE = 3600.0
#: Between two tries while the database doesn't answer: the first, the longest.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def run(stop: threading.Event, using: str) -> None:
    """Make tasks as their moments come, until `stop` is set."""
    looks = Looks(using)
    pause = FIRST_PAUSE
    while not stop.is_set():
        try:
            wait = looks.look()
            pause = FIRST_PAUSE
        except Exception as error:
            logger.log(
                outage.level(error),
                "the schedules in %r cannot be looked at; next try in %.1f s",
                using,
                pause,
                exc_info=True,
            )
            connections[using].close()
            wait = pause
            pause = min(pause * 2, LONGEST_PAUSE)
        stop.wait(wait)


class Looks:
    """What one loop remembers from look to look; for one thread."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._begun = False
        self._next_unknown = 0.0
        self._next_prune = 0.0

    def look(self) -> float:
        """Do what is due; seconds until there is something to do again."""
        if not self._begun:
            make_missing(self.using)
            self._begun = True
        now = time.monotonic()
        if now >= self._next_prune and not prune(self.using):
            self._next_prune = now + PRUNE
        wait = seconds_until_due(self.using)
        if wait > 0 and now < self._next_unknown:
            return min(wait, LOOK_FOR_FIRST if wait == math.inf else LOOK)
        self._next_unknown = now + UNKNOWN
        return 0.0 if tick(self.using) or wait > 0 else TAKEN


def seconds_until_due(using: str) -> float:
    """Seconds, by the database's clock, to the first slot; 0 if it has come."""
    waiting = enabled(using).filter(next_run__isnull=False)
    row = waiting.order_by("next_run").values_list("next_run", Moment()).first()
    if row is None:
        return math.inf
    next_run, now = row
    seconds: float = (next_run - now).total_seconds()
    return max(0.0, seconds)


class Scheduler:
    """The loop on a thread of its own, for a worker that runs it beside its tasks."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="cq-scheduler", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it after the transaction that it is in."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            run(self._stop, self.using)
        finally:
            connections[self.using].close()
