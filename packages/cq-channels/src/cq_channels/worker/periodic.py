"""Periodic jobs: what a worker does now and then, on one thread and one connection."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from typing import TYPE_CHECKING

from django.db import connections

from cq.db import error_codes, outage
from cq.db.outage import ReconnectDelay
from cq_channels.own_threads import CriticalThread, limit_lock_waits, seconds_to_retry

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("cq.worker")

#: Seconds.
SECONDS_BETWEEN_WARNINGS = 60.0


class PeriodicJobs:
    """The jobs of one thread: each is done when it is due, and holds up no other.

    jobs: by name, which a warning has after "could not" where one fails. Each returns
    the seconds until it is due again; infinity: when `wake` names it.
    """

    def __init__(
        self,
        using: str,
        jobs: dict[str, Callable[[], float]],
        died: Callable[[str], None],
    ) -> None:
        self.using = using
        self.jobs = jobs
        self._due = dict.fromkeys(jobs, time.monotonic())
        self._delays = {name: ReconnectDelay() for name in jobs}
        self._next_warning = 0.0
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = False
        self._thread = CriticalThread(self._work, "cq-maintenance", died)

    def start(self) -> None:
        self._thread.start()

    def wake(self, name: str, within: float) -> None:
        """Have a job done within so many seconds."""
        if self._sooner(name, within):
            self._woken.set()

    def stop(self, timeout: float) -> None:
        """Begin no other job, and wait up to `timeout` seconds for the present one."""
        self._stopping = True
        self._woken.set()
        self._thread.join(timeout)

    @limit_lock_waits()
    def _work(self) -> None:
        try:
            while not self._stopping:
                self._woken.clear()
                wait = min(self._due.values()) - time.monotonic()
                if wait > 0 and not self._stopping:
                    self._woken.wait(wait)
                for name in self.jobs:
                    if time.monotonic() >= self._due[name] and not self._stopping:
                        self._due[name] = math.inf
                        self._sooner(name, self._do(name))
        finally:
            connections[self.using].close()

    def _sooner(self, name: str, within: float) -> bool:
        due = time.monotonic() + within
        with self._lock:
            sooner = due < self._due[name]
            if sooner:
                self._due[name] = due
        return sooner

    def _log(self, error: Exception, name: str, seconds: float) -> None:
        message = "could not %s; next try in %.1f s"
        if error_codes.is_out_of_reach(error):
            outage.log(logger, error, message, name, seconds)
        elif time.monotonic() >= self._next_warning:
            # Once a minute: where one job fails, most do.
            self._next_warning = time.monotonic() + SECONDS_BETWEEN_WARNINGS
            logger.warning(message, name, seconds, exc_info=error)

    def _do(self, name: str) -> float:
        """Do a job, and return the seconds until it is due again."""
        delay = self._delays[name]
        try:
            wait = self.jobs[name]()
        except Exception as error:
            seconds = seconds_to_retry(delay, error)
            self._log(error, name, seconds)
            connections[self.using].close()
            return seconds * random.uniform(0.5, 1.0)
        delay.reset()
        return wait
