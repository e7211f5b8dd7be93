"""What a claimer starts from lanes, before and after what has none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cq.limits.claims.turns import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cq.tables.rows import TaskRow
    from cq_channels.slots.claim_ahead import ClaimAhead
    from cq_channels.slots.event_loop import LoopSlots

    from .lane_work import LaneWork

    #: Claims so many, but none of some releases.
    Claim = Callable[[int, Sequence[str]], list[TaskRow]]


#: Seconds: no index has lanes by the names of their tasks, so a look for those of coroutines
#: comes past all others that are open. What takes longer and finds none comes again after a
#: multiple of that.
QUICK_SECONDS, SPACING = 0.005, 20.0


class FromLanes:
    """The claims from lanes of one claimer, by how urgent they are beside others.

    take: claims and starts up to so many, and tells how many those were.
    """

    def __init__(
        self,
        lanes: LaneWork,
        ahead: ClaimAhead,
        loop: LoopSlots,
        take: Callable[[int, Claim], int],
    ) -> None:
        self.lanes, self.ahead, self.loop = lanes, ahead, loop
        self._take = take
        #: When lanes of coroutines are looked for again.
        self._loop_next = 0.0

    @property
    def room(self) -> bool:
        """Whether some could start, for a slot that is free, or is in a moment."""
        return bool(self.lanes.open) and self.ahead.for_lanes(alone=True) > 0

    def urgent(self, coroutines: Sequence[str], highest: int | None) -> None:
        """Start what is not less urgent than the others that wait.

        highest: the priority of these; None: there are none.
        """
        if highest is None:
            self._threads(coroutines, lambda priority: True, alone=True)
        else:
            self._threads(coroutines, lambda priority: priority > highest, alone=True)
            self._threads(coroutines, lambda priority: priority == highest, alone=False)
        self._on_loop(coroutines)

    def rest(self, coroutines: Sequence[str]) -> None:
        """Start what is left, in slots that are still free."""
        if not self.lanes.open:
            return
        free = self.ahead.threads.free
        self._claim(free, self._of_threads(coroutines), lambda priority: True)
        self._on_loop(coroutines)

    def _threads(
        self, coroutines: Sequence[str], which: Callable[[int], bool], *, alone: bool
    ) -> None:
        if any(which(priority) for priority in self.lanes.open):
            room = self.ahead.for_lanes(alone=alone)
            self._claim(room, self._of_threads(coroutines), which)

    def _of_threads(self, coroutines: Sequence[str]) -> Names:
        return Names(None, (*coroutines, *self.lanes.served().without_names))

    def _on_loop(self, coroutines: Sequence[str]) -> None:
        left_alone = self.lanes.served().without_names
        names = [name for name in coroutines if name not in left_alone]
        if not names or not self.lanes.open or self.loop.free <= 0:
            return
        began = time.monotonic()
        if began < self._loop_next:
            self.lanes.look_again(self._loop_next)
            return
        found = self._claim(self.loop.free, Names(names), lambda priority: True)
        took = time.monotonic() - began
        if not found and took > QUICK_SECONDS:
            self._loop_next = began + took * SPACING

    def _claim(self, room: int, names: Names, which: Callable[[int], bool]) -> int:
        found = self._take(
            room,
            lambda starts, not_of: self.lanes.claim(starts, names, not_of, which),
        )
        self.ahead.claimed(from_lanes=found)
        return found
