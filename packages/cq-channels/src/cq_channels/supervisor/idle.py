"""The watch over a worker that is to end once there is nothing to run: scale to zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .process import Process


class IdleWatch:
    """The time since a worker last ran a task.

    seconds: after which it is over; None: it never is. It counts from when the processes
    are ready: who has not reached the database yet does not know what there is to run.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._since: float | None = None

    def between_looks(self, most: float) -> float:
        """Return the seconds to the next look, `most` at most."""
        return most if self.seconds is None else min(most, self.seconds / 2)

    def is_over(self, processes: Sequence[Process], now: float) -> bool:
        """Look whether any process has run a task since the last look.

        now: by the monotonic clock. Returns whether none has for `seconds`.
        """
        if self.seconds is None:
            return False
        # Each is asked: that is what begins its next span.
        busy = [process.has_worked_lately() for process in processes]
        ready = [process.ready for process in processes]
        if any(busy) or not ready or not all(ready):
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since >= self.seconds
