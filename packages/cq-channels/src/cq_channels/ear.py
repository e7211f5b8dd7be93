"""Listens, on a thread of its own, for the tasks that this process waits for."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from .sender import linger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: Called with the ids of tasks that have settled; None: any may have.
    Heard = Callable[[Iterable[str] | None], None]

logger = logging.getLogger("cq.doorbell")

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0


class Ear:
    """Listens while anybody waits, and for some seconds more.

    source: hears what is said until it is over; raises when it cannot.
    """

    def __init__(self, source: Callable[[Heard, Callable[[], bool]], None]) -> None:
        self._source = source
        self._changed = threading.Condition()
        #: By task, as a hexadecimal number: whom to wake.
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None
        self._last_left = 0.0

    def listen(self, task_id: str, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` when this task may have settled; returns what ends that."""
        with self._changed:
            self._waiting.setdefault(task_id, []).append(heard)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="cq-ear", daemon=True
                )
                self._thread.start()

        def leave() -> None:
            with self._changed:
                self._waiting[task_id].remove(heard)
                if not self._waiting[task_id]:
                    del self._waiting[task_id]
                self._last_left = time.monotonic()
                self._changed.notify_all()
                thread = None if self._waiting else self._thread
            if thread is not None and not linger():
                # A test's database is dropped next, and must not be in use.
                thread.join()

        return leave

    # --- on the thread ----------------------------------------------------------------

    def _work(self) -> None:
        delay = FIRST_DELAY
        while not self._is_over():
            try:
                self._source(self._heard, self._may_end)
                delay = FIRST_DELAY
            except Exception as error:
                # Those who wait look at the rows meanwhile.
                logger.debug(
                    "cannot hear what settles, next try in %g s: %s", delay, error
                )
                with self._changed:
                    self._changed.wait_for(self._may_end, delay)
                delay = min(delay * 2, LONGEST_DELAY)

    def _heard(self, ids: Iterable[str] | None) -> None:
        with self._changed:
            these = list(self._waiting) if ids is None else ids
            wanted = [heard for key in these for heard in self._waiting.get(key, ())]
        for heard in wanted:
            heard()

    def _may_end(self) -> bool:
        idle = time.monotonic() - self._last_left
        return not self._waiting and idle >= linger()

    def _is_over(self) -> bool:
        """Whether it may end, and then it has: the next one to wait starts another."""
        with self._changed:
            if not self._may_end():
                return False
            self._thread = None
            return True
