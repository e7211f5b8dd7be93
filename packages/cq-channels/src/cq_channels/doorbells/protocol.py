"""What every doorbell is: an end that sends, and one that listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

if TYPE_CHECKING:
    import threading

    from cq.doorbell import Ready

#: Called with the tasks to look at; None: look at the table.
Wake = Callable[[list[tuple[UUID, str]] | None], None]


class Transport(Protocol):
    """Both ends of one way to wake workers; each end on one thread of its own.

    A message may be lost, doubled or late. Errors are raised: the sender and the
    listening thread know when to try again.
    """

    def send(self, ready: Ready) -> None:
        """Say that these tasks are QUEUED, and committed."""

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        """Call `wake` for what is heard; returns within a second of `stop`."""

    def close(self) -> None:
        """Give back what :meth:`send` holds open. It may be called again after."""


class Silence:
    """For databases that cannot ring: workers look at the table every ``CQ_POLL``."""

    def send(self, ready: Ready) -> None:
        pass

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        stop.wait()

    def close(self) -> None:
        pass
