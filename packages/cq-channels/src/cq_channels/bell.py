"""Rings other workers by NOTIFY on a connection that a worker has anyway."""

from __future__ import annotations

import math
import threading
from itertools import islice
from typing import TYPE_CHECKING

from django.db import connections

from cq import doorbell

from .doorbells import Notify, choose
from .doorbells.notify import notify
from .messages import MOST_IDS
from .sender import PAUSE, sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from cq.doorbell import Ready


def rings_by_notify(using: str) -> bool:
    """Tell whether the workers of this database are rung through it."""
    return isinstance(choose(using), Notify)


class Bell:
    """In place of the sender of this process, for one database, while it is up.

    wake: have `send` called within so many seconds, on the thread whose connection
    it is to use.
    """

    def __init__(self, using: str, wake: Callable[[float], None]) -> None:
        self.using = using
        self._wake = wake
        self._lock = threading.Lock()
        self._gathered: dict[UUID, str] = {}

    def put_up(self) -> None:
        doorbell.unregister(sender)
        doorbell.register(self)

    def take_down(self) -> None:
        """Leave it to the sender again, also what is not sent yet."""
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
            room = MOST_IDS + 1 - len(self._gathered)
            self._gathered.update(islice(ready, max(room, 0)))
        self._wake(PAUSE)

    def send(self) -> float:
        """Send what has gathered; nothing more to do until `wake` says so."""
        if ready := self._take():
            with connections[self.using].cursor() as cursor:
                notify(cursor, ready)
        return math.inf

    def _take(self) -> Ready:
        with self._lock:
            gathered, self._gathered = self._gathered, {}
        return list(gathered.items())
