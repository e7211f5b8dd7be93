"""Threads without which a worker is none: when one of them dies, all of it ends."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("cq.worker")


class VitalThread(threading.Thread):
    """A daemon thread that tells `died` when it ends by an exception.

    What can go wrong is handled by `work` itself: what gets here was not foreseen.
    """

    def __init__(
        self,
        work: Callable[[], None],
        name: str,
        died: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._vital_work = work
        self._died = died

    def run(self) -> None:
        try:
            self._vital_work()
        except BaseException:
            logger.critical("the thread %s has died", self.name, exc_info=True)
            if self._died is not None:
                self._died(self.name)
