"""The work of a claimer with lanes: tasks that limits hold back, or that take turns."""

from __future__ import annotations

import heapq
import logging
import math
import time
from collections import Counter
from typing import TYPE_CHECKING

from django.db import Error

from cq.definitions.registry import has_lanes
from cq.lifecycle import claim_of
from cq.limits import places
from cq.limits.claims.claimed import Which
from cq.limits.claims.claiming import LaneClaims
from cq.limits.claims.pairs import open_pairs
from cq.limits.holding import Served, any_left, due
from cq.limits.newcomers import admit
from cq.limits.release import release
from cq.limits.starts import give_back_starts
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cq.limits.claims.turns import Names
    from cq.tables.rows import TaskRow
    from cq.workers.ready_pairs import Pair

    from .held_places import HeldPlaces

logger = logging.getLogger("cq.worker")

#: Moments at which keys open that are kept; others are found by the look of each second.
MOST_MOMENTS = 1_000


class LaneWork:
    """What one claimer knows of lanes, and does for them. For the thread that claims.

    On a site without limits and fair keys it asks the database nothing.
    """

    def __init__(
        self,
        using: str,
        worker: int,
        held: HeldPlaces,
        served: Callable[[], Served],
    ) -> None:
        self.using = using
        self.held = held
        #: Returns what this worker can claim from at the moment.
        self.served = served
        self._claims = LaneClaims(using, worker)
        self._openings = self._claims.openings
        #: Whether some task has lanes: by the code, or because a look has found one.
        self.exist = has_lanes()
        #: Whether to look for newcomers, and for lanes that are open.
        self._newcomers = self._opened = True
        #: By the monotonic clock: until when what is admitted by now has its turn.
        self._no_newcomers_until = 0.0
        #: How often there was a ring before the last look for newcomers.
        self._rings = -1
        #: Whether keys may have opened whose moments another worker knows.
        self._due = True
        #: Whether lanes were opened since others were told of that.
        self._fresh = False
        self._pairs: list[Pair] = []
        #: Those of them that had but lanes of what is paused, or left alone; and whether
        #: that was so for threads. No index has lanes by their names: to find that out comes
        #: past all of them.
        self._in_vain: set[tuple[Pair, bool]] = set()
        #: When keys open by themselves, by the monotonic clock.
        self._moments: list[float] = []

    # --- what it hears of -------------------------------------------------------------

    def rung(self) -> None:
        """Hear that there may be newcomers, or open lanes."""
        self._newcomers = self._opened = True

    def not_claimed(self, rings: int) -> None:
        """Hear that not all was claimed that was rung for: some may have come to a lane.

        rings: how often there was a ring. Those before the last look for newcomers have
        been heeded by that.
        """
        if rings != self._rings:
            self.rung()

    def found(self, newcomers: bool, lanes: bool) -> bool:
        """Hear what a look has found; whether there is something to do. Of any thread."""
        if newcomers or lanes:
            self.exist = self._newcomers = self._opened = self._due = True
        return newcomers or lanes

    def look_again(self, at: float) -> None:
        """Look at what is open at that moment, by the monotonic clock."""
        if at not in self._moments:
            heapq.heappush(self._moments, at)

    @property
    def pending(self) -> bool:
        """Whether there is something to do."""
        return self.exist and (
            self._opened
            or self._admits
            or self.held.some_freed
            or self._is_to_be_opened
            or self._has_opened
        )

    @property
    def opens_in(self) -> float:
        """Seconds until there is something to do by itself, as far as is known; or infinity.

        That is when a key opens, an offer to others is over, or the next newcomers are
        admitted.
        """
        first = self._moments[0] if self._moments else math.inf
        if self._newcomers:
            first = min(first, self._no_newcomers_until)
        return min(first, self._openings.offers.next_over) - time.monotonic()

    @property
    def _has_opened(self) -> bool:
        return bool(self._moments) and self._moments[0] <= time.monotonic()

    @property
    def _admits(self) -> bool:
        return self._newcomers and time.monotonic() >= self._no_newcomers_until

    # --- what it does -----------------------------------------------------------------

    @property
    def open(self) -> list[int]:
        """The priorities that have an open lane, the highest first."""
        return [priority for _, priority in self._pairs]

    def prepare(self, rings: int) -> None:
        """Give back places, open what is to be opened, and learn which lanes are open.

        rings: how often there was a ring before this.
        """
        served = self.served()
        if freed := self.held.take_freed():
            self._give_back(freed)
        if rates := self.held.take_not_begun():
            # Once: where that fails a few start later than they might.
            give_back_starts(self.using, rates)
        if self._due or self._has_opened:
            self._due, self._opened = False, True
            self._forget_moments()
            for key in due(self.using):
                # One alone: who claims from it opens more where the key lets more start.
                self._openings.owe({key: 1})
        if self._is_to_be_opened and self._openings.settle(served):
            self._opened = self._fresh = True
        if self._admits:
            self._admit(rings)
        if self._opened:
            self._opened = False
            self._pairs = open_pairs(self.using, served.queues, served.exclude)
            self._in_vain.clear()

    @property
    def _is_to_be_opened(self) -> bool:
        offered_until = self._openings.offers.next_over
        return self._openings.pending or offered_until <= time.monotonic()

    def _admit(self, rings: int) -> None:
        """Admit newcomers, some thousand at most.

        Where there are more, as much time follows for what is admitted, and for others: a
        million that came at once keep no slot waiting.
        """
        began = time.monotonic()
        # Before the look: who comes during it is looked for again.
        self._newcomers, self._rings = False, rings
        self._newcomers = admit(self.using)
        self._opened = self._fresh = True
        if self._newcomers:
            now = time.monotonic()
            self._no_newcomers_until = now + (now - began)

    def _give_back(self, freed: list[places.Place]) -> None:
        try:
            self._openings.owe(places.free(self.using, freed))
        except BaseException:
            # Some may be free by now, and are told of no more.
            self._openings.owe(Counter(place.key for place in freed))
            self.held.put_back(freed)
            raise

    def _forget_moments(self) -> None:
        now = time.monotonic()
        while self._moments and self._moments[0] <= now:
            heapq.heappop(self._moments)

    def claim(
        self,
        starts: int,
        names: Names,
        not_of: Sequence[str],
        priorities: Callable[[int], bool],
    ) -> list[TaskRow]:
        """Claim from the open lanes of these priorities, the highest first."""
        found: list[TaskRow] = []
        which, served = Which(names, not_of), self.served()
        for pair in self._pairs:
            if len(found) >= starts:
                break
            looked_for = (pair, names.only is None)
            if not priorities(pair[1]) or looked_for in self._in_vain:
                continue
            claimed = self._claims.claim(pair, starts - len(found), which, served)
            if served.without_names and not (claimed.tasks or claimed.more):
                self._in_vain.add(looked_for)
            self._opened |= claimed.more
            self._fresh |= claimed.opened > 0
            if claimed.opens_in is not None and len(self._moments) < MOST_MOMENTS:
                heapq.heappush(self._moments, time.monotonic() + claimed.opens_in)
            self.held.add(
                {claim_of(task): claimed.holds[task.pk] for task in claimed.tasks}
            )
            found += claimed.tasks
        return found

    def left(self) -> bool:
        """Whether there are lanes that this worker serves, open or held."""
        return self.exist and any_left(self.using, self.served())

    def tell_others(self) -> None:
        """Ring for lanes that are open, and that nobody here is free for."""
        if self._fresh and self._pairs:
            self._fresh = False
            queue, _ = self._pairs[0]
            doorbell.ring(self.using, [(doorbell.LANES, queue)])
            self._openings.offers.leave(self.served())

    def flush(self) -> None:
        """Give back the places of what has ended: for who claims no more.

        Where that fails they come free with this process.
        """
        if not self.held.some_freed:
            return
        freed, rates = self.held.take_freed(), self.held.take_not_begun()
        try:
            give_back_starts(self.using, rates)
            release(self.using, freed)
        except Error as error:
            self.held.put_back(freed)
            logger.warning("places are left to the rescuer: %s", error)

    def mend(self) -> None:
        """Give back places of ours that no claim here holds."""
        if not self.exist:
            return
        mine = places.of_worker(self.using, self._claims.worker)
        if orphans := self.held.orphans(mine):
            self.held.put_back(orphans)
