"""What a worker does now and then, on one thread, and so on one connection."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from typing import TYPE_CHECKING

from django.db import connections

from cq import lock_waits

from .lock_patience import limited
from .vital import VitalThread

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("cq.worker")

#: Seconds to the next try after a failed one: the first, the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
#: Seconds between two warnings.
QUIET = 60.0


class Duties:
    """Does each of some duties when it is due; one that fails holds up no other.

    duties: by what it is called where it fails, after "could not". Each returns the
    seconds until it is to be done again; infinity: until `wake` names it.
    """

    def __init__(
        self,
        using: str,
        duties: dict[str, Callable[[], float]],
        died: Callable[[str], None],
    ) -> None:
        self.using = using
        self.duties = duties
        self._due = dict.fromkeys(duties, time.monotonic())
        self._pause = dict.fromkeys(duties, FIRST_PAUSE)
        self._warn_at = 0.0
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = False
        self._thread = VitalThread(self._work, "cq-maintenance", died)

    def start(self) -> None:
        self._thread.start()

    def wake(self, name: str, within: float) -> None:
        """Have a duty done in so many seconds at the latest."""
        if self._sooner(name, within):
            self._woken.set()

    def stop(self, timeout: float) -> None:
        """Begin nothing more, and wait up to `timeout` seconds for what is under way."""
        self._stopping = True
        self._woken.set()
        self._thread.join(timeout)

    @limited()
    def _work(self) -> None:
        try:
            while not self._stopping:
                self._woken.clear()
                wait = min(self._due.values()) - time.monotonic()
                if wait > 0 and not self._stopping:
                    self._woken.wait(wait)
                for name in self.duties:
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

    def _level(self) -> int:
        """Once a minute it is a warning: where one fails, most do."""
        if time.monotonic() < self._warn_at:
            return logging.DEBUG
        self._warn_at = time.monotonic() + QUIET
        return logging.WARNING

    def _do(self, name: str) -> float:
        try:
            wait = self.duties[name]()
        except Exception as error:
            pause = self._pause[name]
            logger.log(
                self._level(),
                "could not %s; next try in %.1f s",
                name,
                pause,
                exc_info=True,
            )
            connections[self.using].close()
            if not lock_waits.has_run_out(error):
                self._pause[name] = min(pause * 2, LONGEST_PAUSE)
            return pause * random.uniform(0.5, 1.0)
        self._pause[name] = FIRST_PAUSE
        return wait
