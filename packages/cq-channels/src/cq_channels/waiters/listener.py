"""The listener for the tasks that this process waits for, on a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from cq.db.outage import ReconnectDelay
from cq.threads import start_thread
from cq_channels.doorbells.sender import idle_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: Called with the ids of tasks that have settled; None: any may have.
    Heard = Callable[[Iterable[str] | None], None]

logger = logging.getLogger("cq.doorbell")

#: Seconds from a failure to listen to the next try: the first, and the longest.
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 30.0


class SettledListener:
    """The thread that hears which tasks have settled, for all who wait here.

    It is there while anybody waits, and for some seconds more.
    source: called with what is to hear the ids, and with what says whether it is over;
    it listens until then, and raises when it cannot.
    """

    def __init__(self, source: Callable[[Heard, Callable[[], bool]], None]) -> None:
        self._source = source
        self._changed = threading.Condition()
        #: By the task's id, in hexadecimal: what is to be called.
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None
        self._last_left = 0.0

    def waiting(self) -> set[str]:
        """Return the ids that somebody waits for."""
        with self._changed:
            return set(self._waiting)

    def listen(self, task_id: str, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` when this task may have settled; return what ends that."""
        with self._changed:
            self._waiting.setdefault(task_id, []).append(heard)
            if self._thread is None:
                self._thread = start_thread(self._work, "cq-ear", logger)

        def leave() -> None:
            with self._changed:
                self._waiting[task_id].remove(heard)
                if not self._waiting[task_id]:
                    del self._waiting[task_id]
                self._last_left = time.monotonic()
                self._changed.notify_all()
                thread = None if self._waiting else self._thread
            if thread is not None and not idle_seconds():
                # In a test the database is dropped next, and must not be in use.
                thread.join()

        return leave

    # --- on the thread ----------------------------------------------------------------

    def _work(self) -> None:
        delay = ReconnectDelay(FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS)
        while not self._is_over():
            try:
                self._source(self._heard, self._may_end)
                delay.reset()
            except Exception as error:
                seconds = delay.next()
                # Whoever waits looks at the row meanwhile.
                logger.debug(
                    "cannot hear what settles, next try in %g s: %s", seconds, error
                )
                with self._changed:
                    self._changed.wait_for(self._may_end, seconds)

    def _heard(self, ids: Iterable[str] | None) -> None:
        with self._changed:
            these = list(self._waiting) if ids is None else ids
            wanted = [heard for key in these for heard in self._waiting.get(key, ())]
        for heard in wanted:
            heard()

    def _may_end(self) -> bool:
        idle = time.monotonic() - self._last_left
        return not self._waiting and idle >= idle_seconds()

    def _is_over(self) -> bool:
        """Return whether it ends; then the next one to wait starts another thread."""
        with self._changed:
            if not self._may_end():
                return False
            self._thread = None
            return True
