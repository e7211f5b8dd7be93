"""How far a claimer goes ahead of the slots, and how those share them who go first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .threads import ThreadSlots

#: Tasks claimed ahead of the slots, while runs are short.
MAX_CLAIMED_AHEAD = 200
#: Seconds. While runs take longer, tasks are claimed for free slots only: another worker
#: may be idle meanwhile.
SHORT_RUN_SECONDS = 0.01
#: Tasks from lanes that each slot has before it, at most, while runs are short.
MAX_SOON = 25


class ClaimAhead:
    """The number of tasks to claim for the threads of one worker."""

    def __init__(self, threads: ThreadSlots) -> None:
        self.threads = threads
        #: Tasks from lanes and others that were claimed while others waited for a slot.
        self._from_lanes = self._others = 0
        #: Which of both is to have the odd slot.
        self._lanes_next = False

    @property
    def low(self) -> bool:
        """Whether half of what was claimed ahead is gone."""
        return self.threads.waiting <= MAX_CLAIMED_AHEAD // 2

    @property
    def runs_are_short(self) -> bool:
        return self.threads.duration < SHORT_RUN_SECONDS

    def wanted(self) -> int:
        """Return how many to claim ahead: a batch once half of the last one is gone."""
        if not self.runs_are_short or not self.low:
            return 0
        return MAX_CLAIMED_AHEAD - self.threads.waiting

    @property
    def long_runs_in_between(self) -> bool:
        """Whether what was claimed ahead waits behind runs that take long after all.

        Those of all slots: while one of them runs short ones, it comes to what waits.
        """
        threads = self.threads
        return threads.waiting > 0 and threads.all_busy_for() > SHORT_RUN_SECONDS * 10

    # --- lanes ------------------------------------------------------------------------

    def claimed(self, from_lanes: int = 0, others: int = 0) -> None:
        """Note what was claimed."""
        self._from_lanes += from_lanes
        self._others += others

    def for_lanes(self, *, alone: bool) -> int:
        """Return how many to claim from lanes: for slots that are free, or in a moment are.

        While runs are short a slot comes free within one of them, so there may be as many
        as there are slots before those that were claimed ahead. alone: whether no others
        of their priority wait; else every second start is theirs.
        """
        free, waiting = self.threads.free, self._others_waiting
        room = max(free, 0)
        if self.runs_are_short:
            room = max(room, self._soon - self.threads.waiting_first)
        if alone or not room:
            # Without a slot nobody's turn is over.
            return room
        if waiting <= 0:
            self._from_lanes = self._others = 0
            self._lanes_next = not self._lanes_next
            return (room + self._lanes_next) // 2
        begun = self._others - waiting
        return max(0, min(room, begun - self._from_lanes + self.threads.count))

    @property
    def _soon(self) -> int:
        """How many of what waits will have started within SHORT_RUN_SECONDS."""
        shortest = SHORT_RUN_SECONDS / MAX_SOON
        starts = SHORT_RUN_SECONDS / max(self.threads.duration, shortest)
        return self.threads.count * int(starts)

    @property
    def _others_waiting(self) -> int:
        return self.threads.waiting - self.threads.waiting_first
