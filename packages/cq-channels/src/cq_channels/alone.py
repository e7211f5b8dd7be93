"""Runs what may have ended worker processes with nothing else beside it.

When a process dies, nobody can tell which of the tasks that it ran was the cause, and
each is charged a loss. A task for which one more is the last is set aside here, until
nothing else runs: so who dies with it is nobody but itself, and it is not LOST for what
another did.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from cq.conf import conf

from .held import claim_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.lifecycle import Claim
    from cq.models import Task

    from .held import Held

#: Seconds without an end of anything here until others run beside it all the same: they
#: may be waiting for each other, and who is to run for hours must not hold up the rest.
PATIENCE = 30.0


def fewest_losses() -> int:
    """Return how many losses a task has that is run alone."""
    return max(1, int(conf.MAX_LOSSES) - 1)


class Alone:
    """The tasks set aside by one process, for the thread that claims."""

    def __init__(self, held: Held, clock: Callable[[], float] = time.monotonic) -> None:
        self.held = held
        self._clock = clock
        self._waiting: deque[Task] = deque()
        self._running: Claim | None = None
        #: How much had ended here, and when that was seen.
        self._ended = 0
        self._since = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is one that waits, or runs."""
        return bool(self._waiting) or self._running is not None

    @property
    def excludes(self) -> bool:
        """Whether nothing else may be claimed now."""
        return self.busy and self._clock() - self._since < PATIENCE

    def put(self, task: Task) -> None:
        """Set a task aside that was claimed."""
        self._waiting.append(task)
        self._since = self._clock()

    def next(self) -> Task | None:
        """Return the task that is to run now; None: not yet, or none."""
        if self._running is not None and self._running not in self.held:
            self._running = None
        if self.held.ended != self._ended:
            self._ended = self.held.ended
            self._since = self._clock()
        if not self._waiting:
            return None
        alone = len(self.held) <= len(self._waiting)
        if not alone and self._clock() - self._since < PATIENCE:
            return None
        task = self._waiting.popleft()
        self._running = claim_of(task)
        self._since = self._clock()
        return task

    def take_back(self) -> list[Task]:
        """Return the tasks that have not started, to be handed back."""
        found = list(self._waiting)
        self._waiting.clear()
        return found
