"""The connection of a worker as its sender: NOTIFY on one that it has anyway."""

from __future__ import annotations

import math
import threading
from itertools import islice
from typing import TYPE_CHECKING

from django.db import connections

from cq.workers import doorbell

from . import Notify, choose
from .messages import MAX_IDS
from .notify import notify
from .sender import SECONDS_BETWEEN_MESSAGES, sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from cq.workers.doorbell import Ready


def rings_by_notify(using: str) -> bool:
    """Tell whether the workers of this database are rung through it."""
    return isinstance(choose(using), Notify)


class WorkerConnection:
    """The sender of one database while it is installed, in place of this process's own.

    wake: has `send` called within so many seconds, on the thread whose connection it is
    to use.
    """

    def __init__(self, using: str, wake: Callable[[float], None]) -> None:
        self.using = using
        self._wake = wake
        self._lock = threading.Lock()
        self._gathered: dict[UUID, str] = {}

    def install(self) -> None:
        doorbell.unregister(sender)
        doorbell.register(self)

    def uninstall(self) -> None:
        """Leave the ringing to the sender again, and what is not sent yet."""
        doorbell.unregister(self)
        doorbell.register(sender)
        if ready := self._take():
            sender.ring(self.using, ready)

    def ring(self, using: str, ready: Ready) -> None:
        """Have the workers told of these tasks. Takes microseconds, never raises."""
        if using != self.using:
            sender.ring(using, ready)
            return
        with self._lock:
            # One more than a message holds: then it says to look at the table.
            room = MAX_IDS + 1 - len(self._gathered)
            self._gathered.update(islice(ready, max(room, 0)))
        self._wake(SECONDS_BETWEEN_MESSAGES)

    def send(self) -> float:
        """Send what has gathered; then infinity: nothing is due until `wake` says so."""
        if ready := self._take():
            with connections[self.using].cursor() as cursor:
                notify(cursor, ready)
        return math.inf

    def _take(self) -> Ready:
        with self._lock:
            gathered, self._gathered = self._gathered, {}
        return list(gathered.items())
