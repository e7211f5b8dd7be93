"""Tasks that may kill their worker: held back, then run with nothing else beside them.

When a process dies, nobody can tell which of the tasks that it ran was the cause, and
each is charged a loss. A task that may have one more loss and no other is set aside here
until nothing else runs: then no other task dies with it, and it is not LOST for what
another one did.

A task that kills its process is at once back in the queue, and would kill the other
processes of its worker faster than new ones start. So while one of them is missing, such
tasks are held back, and the processes that are left go on with all else meanwhile.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.lifecycle import claim_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.lifecycle import Claim
    from cq.tables.rows import TaskRow

    from .in_flight import InFlight

#: Seconds in which nothing has ended here, after which others run beside it all the same:
#: they may be waiting for each other, and a run of hours must not hold up the rest.
MAX_WAIT_ALONE_SECONDS = 30.0


def fewest_losses() -> int:
    """Return the number of losses from which on a task is run alone."""
    return max(1, int(conf.MAX_LOSSES) - 1)


class RunAlone:
    """The tasks set aside by one process, for the thread that claims."""

    def __init__(
        self, in_flight: InFlight, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.in_flight = in_flight
        self._clock = clock
        self._waiting: deque[TaskRow] = deque()
        self._running: Claim | None = None
        #: How much had ended here, and when that was seen.
        self._ended = 0
        self._since = 0.0

    @property
    def busy(self) -> bool:
        """Whether a task waits to run alone, or does."""
        return bool(self._waiting) or self._running is not None

    @property
    def excludes(self) -> bool:
        """Whether nothing else may be claimed now."""
        return self.busy and self._clock() - self._since < MAX_WAIT_ALONE_SECONDS

    def put(self, task: TaskRow) -> None:
        """Set a task aside that was claimed."""
        self._waiting.append(task)
        self._since = self._clock()

    def next(self) -> TaskRow | None:
        """Return the task that is to run now; None: not yet, or none."""
        if self._running is not None and self._running not in self.in_flight:
            self._running = None
        if self.in_flight.ended != self._ended:
            self._ended = self.in_flight.ended
            self._since = self._clock()
        if not self._waiting:
            return None
        alone = len(self.in_flight) <= len(self._waiting)
        if not alone and self._clock() - self._since < MAX_WAIT_ALONE_SECONDS:
            return None
        task = self._waiting.popleft()
        self._running = claim_of(task)
        self._since = self._clock()
        return task

    def take_back(self) -> list[TaskRow]:
        """Return the tasks that have not started, to be handed back."""
        found = list(self._waiting)
        self._waiting.clear()
        return found


#: Seconds after which a task runs all the same: most only ran beside the cause.
MAX_HOLD_BACK_SECONDS = 2.0


class HoldBack:
    """The tasks held back in one process, for the thread that claims.

    complete: whether no other process of its worker is missing. max_tasks: how many are
    held back at once; they take no slots meanwhile.
    """

    def __init__(
        self,
        complete: Callable[[], bool],
        max_tasks: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._complete = complete
        self._max_tasks = max_tasks
        self._clock = clock
        self._waiting: deque[tuple[float, TaskRow]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def takes(self, task: TaskRow) -> bool:
        """Hold a task back that has lost a worker; return whether there is reason to."""
        if self._complete() or len(self) >= self._max_tasks:
            return False
        self._waiting.append((self._clock() + MAX_HOLD_BACK_SECONDS, task))
        return True

    def next(self) -> TaskRow | None:
        """Return one that is not held back any more; None: there is none."""
        if self._waiting and (self._complete() or self.wait() <= 0):
            return self._waiting.popleft()[1]
        return None

    def wait(self) -> float:
        """Return the seconds until one is let go in any case, or infinity."""
        return self._waiting[0][0] - self._clock() if self._waiting else math.inf

    def take_back(self) -> list[TaskRow]:
        """Return the tasks that have not started, to be handed back."""
        found = [task for _, task in self._waiting]
        self._waiting.clear()
        return found
