"""Keeps one listener of the doorbell alive, on a thread of its own."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from .doorbells import Wake, choose
from .vital import VitalThread

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("cq.doorbell")

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
#: Seconds between two warnings about the same trouble.
QUIET = 60.0


class Listening:
    """Wakes the worker; while it is deaf, the look at the table goes on without it."""

    def __init__(
        self, using: str, wake: Wake, died: Callable[[str], None] | None = None
    ) -> None:
        self.using = using
        self.wake = wake
        self._stop = threading.Event()
        self._thread = VitalThread(self._work, "cq-doorbell-listener", died)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        delay, warned = FIRST_DELAY, -QUIET
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                choose(self.using).listen(self.wake, self._stop)
            except Exception as error:
                now = time.monotonic()
                if now - began > LONGEST_DELAY:
                    delay = FIRST_DELAY  # it has worked in between
                if now - warned >= QUIET:
                    warned = now
                    logger.warning(
                        "the doorbell is out of order, tasks start with the next look "
                        "at the table: %s: %s",
                        type(error).__name__,
                        error,
                    )
                self._stop.wait(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, LONGEST_DELAY)
            else:
                delay = FIRST_DELAY
            # What rang while nobody listened.
            self.wake(None)
