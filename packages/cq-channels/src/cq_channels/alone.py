"""A task that may be what kills its workers runs alone, so that no other pays for it.

A death is held against all that had begun in the process, for any of it may be the
cause. One more would make a suspect LOST: with nothing beside it, only its own can.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cq.conf import conf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cq.models import Task

#: Seconds for which nothing is claimed because of a suspect; then another process does.
PATIENCE = 3.0


def find_suspect(tasks: Iterable[Task]) -> Task | None:
    """Return the first of these that the next death of a worker makes LOST.

    With a ``CQ_MAX_LOSSES`` of 1 that holds for all; only those that have seen a death
    already are suspects.
    """
    losses = max(conf.MAX_LOSSES - 1, 1)
    for task in tasks:
        if task.losses >= losses:
            return task
    return None


class Alone:
    """The suspect of one process: set aside first, then run with nothing beside it.

    Owned by the claimer's thread; others may look.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = 0.0
        self.task: Task | None = None
        #: Whether it was given to a slot.
        self.begun = False

    @property
    def waits(self) -> bool:
        return self.task is not None and not self.begun

    @property
    def overdue(self) -> bool:
        """Whether nothing was claimed for it for so long that others should do it."""
        return self.task is not None and self._clock() - self._since > PATIENCE

    def set_aside(self, task: Task) -> None:
        self.task, self.begun, self._since = task, False, self._clock()

    def begin(self) -> None:
        self.begun = True

    def end(self) -> None:
        self.task, self.begun = None, False

    def take_back(self) -> list[Task]:
        """Return the one that is set aside and has not begun, to be handed back."""
        if self.task is None or self.begun:
            return []
        task = self.task
        self.end()
        return [task]
