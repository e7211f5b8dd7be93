"""The protocol of a doorbell: an end that sends, and one that listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

if TYPE_CHECKING:
    import threading

    from cq.workers.doorbell import Ready

#: Called with the tasks to look at; None: look at the table.
Wake = Callable[[list[tuple[UUID, str]] | None], None]


class Transport(Protocol):
    """The two ends of one way to wake workers, each used by one thread of its own.

    A message may be lost, doubled or late. Errors are raised: the sender and the
    listener know when to try again.
    """

    #: What wakes the workers, in words.
    name: str

    def send(self, ready: Ready) -> None:
        """Say that these tasks are QUEUED, and committed."""

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        """Call `wake` for what is heard; return within a second of `stop`."""

    def close(self) -> None:
        """Close what :meth:`send` holds open; it may send again afterwards."""


class NoDoorbell:
    """The doorbell of a database that cannot ring: workers look every ``CQ_POLL``."""

    #: What wakes the workers, in words.
    name = "polling: nothing rings"

    def send(self, ready: Ready) -> None:
        pass

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        stop.wait()

    def close(self) -> None:
        pass
