"""The sender of a process that runs tasks: it tells those who watch what has changed."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.threads import start_thread
from cq_channels.doorbells.sender import idle_seconds

from .ways import way

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger("cq.live")

#: Seconds in which changes gather: at most four messages a second, whatever happens.
GATHER_SECONDS = 0.25


class LiveSender:
    """The thread that sends, while there is anything to send and a while longer."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._changed = threading.Condition()
        self._gathered: set[UUID] = set()
        self._thread: threading.Thread | None = None
        self._closing = False

    def tell(self, root: UUID) -> None:
        """Have those who watch this tree told that it has changed. Never waits."""
        with self._changed:
            self._gathered.add(root)
            if self._thread is None and not self._closing:
                self._thread = start_thread(self._work, "cq-live", logger)
            self._changed.notify()

    def close(self, timeout: float = 1.0) -> None:
        """Send what is gathered, and end."""
        with self._changed:
            self._closing = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(timeout)

    def _work(self) -> None:
        taken = way(self._using)
        try:
            while roots := self._next():
                if taken is None:
                    continue
                try:
                    taken.send(sorted(roots))
                except Exception as error:
                    # Who watches looks every two seconds all the same.
                    logger.debug("could not tell who watches: %s", error)
                    taken.close()
        finally:
            if taken is not None:
                taken.close()

    def _next(self) -> set[UUID]:
        with self._changed:
            self._changed.wait_for(
                lambda: bool(self._gathered) or self._closing, idle_seconds()
            )
            if not self._gathered:
                self._thread = None
                return set()
            self._changed.wait_for(lambda: self._closing, GATHER_SECONDS)
            taken, self._gathered = self._gathered, set()
            return taken


#: Of each process, which may have been forked from one that had its own.
_senders: dict[int, LiveSender] = {}


def tell(root: UUID) -> None:
    """Have those who watch this tree told, from a process that is no worker."""
    pid = os.getpid()
    sender = _senders.get(pid)
    if sender is None:
        sender = _senders.setdefault(pid, LiveSender(conf.DATABASE))
    sender.tell(root)


@atexit.register
def _close_mine() -> None:
    # A command ends before what it has changed has gathered.
    sender = _senders.get(os.getpid())
    if sender is not None:
        sender.close()
