"""The listener of a worker's doorbell: a thread that keeps listening."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from cq.db.outage import Outage, ReconnectDelay, first_line
from cq_channels.own_threads import CriticalThread

from . import Wake, choose

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

logger = logging.getLogger("cq.doorbell")


class DoorbellListener:
    """The thread that wakes the worker when the doorbell rings.

    While it cannot listen, the worker looks at the table every ``CQ_POLL`` all the same.
    """

    def __init__(
        self, using: str, wake: Wake, died: Callable[[str], None] | None = None
    ) -> None:
        self.using = using
        self.wake = wake
        self._stop = threading.Event()
        self._thread = CriticalThread(self._work, "cq-doorbell-listener", died)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _hear(self, deafness: Outage) -> Wake:
        def hear(ready: list[tuple[UUID, str]] | None) -> None:
            deafness.ended(logger)
            self.wake(ready)

        return hear

    def _work(self) -> None:
        delay, deafness = ReconnectDelay(), Outage("the doorbell is heard again")
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                choose(self.using).listen(self._hear(deafness), self._stop)
            except Exception as error:
                if time.monotonic() - began > delay.longest:
                    delay.reset()  # It has worked in between.
                    deafness.ended(logger)
                logger.log(
                    deafness.log_level(),
                    "the doorbell is out of order, tasks start with the next look at "
                    "the table: %s",
                    first_line(error),
                )
                self._stop.wait(delay.next() * random.uniform(0.5, 1.0))
            else:
                delay.reset()
            # For tasks that were rung for while nobody listened.
            self.wake(None)
