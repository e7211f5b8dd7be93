"""Holds tasks back that may end processes, while a process of this worker is missing.

A task that kills its process is at once back in the queue, and would take the other
processes of its worker faster than new ones start: those that are left go on with all
else meanwhile.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.models import Task

#: Seconds after which they run all the same: most of them only ran beside the cause.
PATIENCE = 2.0


class Apart:
    """The tasks held back in one process, for the thread that claims.

    complete: whether no other process of its worker is missing. most: how many it takes; they
    have no slots meanwhile, which are for others.
    """

    def __init__(
        self,
        complete: Callable[[], bool],
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._complete = complete
        self._most = most
        self._clock = clock
        self._waiting: deque[tuple[float, Task]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def takes(self, task: Task) -> bool:
        """Hold a task back that has lost a worker, while there is reason to."""
        if self._complete() or len(self) >= self._most:
            return False
        self._waiting.append((self._clock() + PATIENCE, task))
        return True

    def next(self) -> Task | None:
        """Return one that is not held back any more; None: there is none."""
        if self._waiting and (self._complete() or self.wait() <= 0):
            return self._waiting.popleft()[1]
        return None

    def wait(self) -> float:
        """Return the seconds until one is let go in any case, or infinity."""
        return self._waiting[0][0] - self._clock() if self._waiting else math.inf

    def take_back(self) -> list[Task]:
        """Return the tasks that have not started, to be handed back."""
        found = [task for _, task in self._waiting]
        self._waiting.clear()
        return found
