"""The cursors of claims: how far a caller has come in each pair of queue and priority."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import UUID

from cq.conf import conf

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

#: Queue, priority, and whether `only` is given.
Key = tuple[str, int, bool]
#: How far a caller has come in each pair. Owned by the caller, who clears it now and then:
#: a task may be committed after one with a greater id. One for each set of `queues` and
#: `exclude`.
Cursors = dict[Key, UUID]


class BeforeFirst(UUID):
    """A cursor of a pair that nothing was claimed from: its first task has the next id."""

    @classmethod
    def of(cls, first: UUID) -> BeforeFirst:
        return cls(int=max(first.int - 1, 0))

    @property
    def first(self) -> UUID:
        return UUID(int=self.int + 1)


#: Seconds from one look from the front to the next, as a multiple of what it took to pass
#: over what is paused: that stands in front, and is read each time for nothing.
FRONT_SPACING = 50.0


class Passing:
    """What the claims of one caller pass over: tasks of paused names, any number of them.

    names: of these tasks. seconds: for how long they were passed over since the last look
    from the front. more: a claim has stopped before its end, so that the caller gets to
    heed other things, and may be asked again; to be cleared by the caller.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.names = names
        self.seconds = 0.0
        self.more = False


class Looks:
    """The looks of one caller at the table, each ``CQ_POLL``, and from where on.

    They begin at the front: ids come in order within one host only, and a row may be
    committed after one with a greater id. Where the tasks of a name are paused they begin
    there less often, the longer it takes to pass over them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.cursors: Cursors = {}
        #: The cursors of claims ahead, which pass over tasks that may not run twice.
        self.ahead: Cursors = {}
        #: When the next is due, by the clock.
        self.next = 0.0
        self.passing = Passing()
        self._front = clock()
        self._clock = clock

    @property
    def sets(self) -> tuple[Cursors, Cursors]:
        """Both sets of cursors."""
        return self.cursors, self.ahead

    @property
    def due(self) -> bool:
        """Whether it is time for the next."""
        return self._clock() >= self.next

    def begin(self) -> bool:
        """Begin the next; whether from the front. Else there may be pairs to be learned."""
        now = self._clock()
        self.next = now + conf.POLL
        if now < self._front + self.passing.seconds * FRONT_SPACING:
            return False
        self.restart(self.passing.names)
        return True

    def restart(self, paused: Collection[str] = ()) -> None:
        """Begin at the front at once. paused: the names of the tasks to pass over."""
        self._front = self._clock()
        self.passing = Passing(paused)
        self.cursors.clear()
        self.ahead.clear()
