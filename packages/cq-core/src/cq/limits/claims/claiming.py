"""The claim of tasks that limits hold back, or that take turns, for slots that are free.

One transaction: it locks lanes, then the keys with a rate, takes places, claims the first
tasks of each lane, and leaves each lane as it is then: open, held by a key, or gone. Nobody
waits while it holds what others wait for, but in the order of the keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cq import lifecycle
from cq.db.transactions import at_once
from cq.definitions.bounds import Bound, bounds_of
from cq.limits import places
from cq.limits.holding import EVERYTHING, Served
from cq.limits.openings import Openings
from cq.limits.overrides import Overrides
from cq.limits.places import Place

from .claimed import ALL, Claimed, Hold, Which
from .heads import Head, are_empty, read_heads
from .keys import Keys, MissingKeys, make_keys
from .lanes import Next, leave
from .passed_over import PassedOver
from .turns import Lane, Turns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from cq.tables.rows import TaskRow
    from cq.workers.ready_pairs import Pair

#: Lanes that one transaction locks, and starts that it claims, at most.
MOST_STARTS = 100


class _Start(NamedTuple):
    """A task that is to start, with the places that it takes."""

    lane: Lane
    head: Head
    places: list[Place]


class LaneClaims:
    """The claims of one worker from lanes. For the one thread that claims."""

    def __init__(self, using: str, worker: int) -> None:
        self.using = using
        self.worker = worker
        self._turns = Turns(using)
        self._overrides = Overrides(using)
        #: What is to be opened after its claims, and after what has ended.
        self.openings = Openings(using, self._overrides)
        self._passed_over = PassedOver()

    def claim(
        self,
        pair: Pair,
        starts: int,
        which: Which = ALL,
        served: Served = EVERYTHING,
        now: datetime | None = None,
    ) -> Claimed:
        """Claim at most so many tasks from the lanes of a pair whose turn it is.

        served: what this worker can claim from: of what opens meanwhile, such lanes are
        preferred.
        """
        starts = min(starts, MOST_STARTS)
        names = which.names._replace(passed_over=self._passed_over.now())
        which = which._replace(names=names)
        while True:
            claim = _Claim(self, pair, starts, which, now)
            try:
                with at_once(self.using):
                    claim.run()
                break
            except MissingKeys as missing:
                make_keys(self.using, missing.names)
        # After the commit, see `cq.limits.holding`. The tasks are claimed by now, whatever
        # becomes of the lanes.
        self.openings.owe(claim.left_over)
        self.openings.offers.claimed(claim.keys_taken)
        self.openings.held(claim.full, claim.named)
        opened = self.openings.settle_or_keep(served)
        passed_over = self._passed_over.add(claim.fruitless)
        seconds = [wait.total_seconds() for wait in claim.opens_in.values()]
        return Claimed(
            claim.claimed,
            claim.holds,
            min(seconds, default=None),
            opened,
            # Others stood behind the lanes that were looked at.
            bool(claim.claimed)
            or claim.put_away > 0
            or opened > 0
            or passed_over
            or self.openings.pending,
        )


class _Claim:
    """One claim, within its transaction."""

    def __init__(
        self,
        of: LaneClaims,
        pair: Pair,
        starts: int,
        which: Which,
        now: datetime | None,
    ) -> None:
        self._of, self.using = of, of.using
        self._pair, self._starts, self._which, self._now = pair, starts, which, now
        self.claimed: list[TaskRow] = []
        self.holds: dict[UUID, Hold] = {}
        #: Lanes that are looked at no more: they are gone or held, or somebody else was
        #: faster there.
        self.put_away = 0
        #: Lanes that are open, and gave nothing: what they have is locked, or left alone.
        self.fruitless: list[int] = []
        #: The keys that lanes were held by, with their concurrency, where they have one.
        self.full: dict[str, int] = {}
        #: Those of them that are of named limits, with the names.
        self.named: dict[str, str] = {}
        #: How many more may start under keys that had to do with it, but did not.
        self.left_over: dict[str, int] = {}
        self.opens_in: dict[str, Any] = {}
        self._bounds: dict[int, list[Bound]] = {}

    @property
    def keys_taken(self) -> set[str]:
        """The keys under which something starts."""
        found = {place.key for hold in self.holds.values() for place in hold.places}
        return found | {key for hold in self.holds.values() for key, _ in hold.rates}

    def run(self) -> None:
        turns: Turns = self._of._turns
        lanes = turns.lock(self._pair, self._starts, self._which.names)
        if not lanes:
            return
        overrides = self._of._overrides.now()
        self._bounds = {
            lane.pk: bounds_of(lane.name, lane.options, overrides) for lane in lanes
        }
        keys = Keys(
            self.using, (b for of in self._bounds.values() for b in of), self._now
        )
        heads = self._heads(lanes, keys)
        started = self._claim(self._begin(lanes, heads, keys), keys)
        self._leave(lanes, heads, started, keys)

    def _heads(self, lanes: Sequence[Lane], keys: Keys) -> dict[int, list[Head]]:
        """Return the first tasks of each lane: as many as may start, and one more."""
        wanted: list[tuple[Lane, int]] = []
        for lane in lanes:
            room = keys.room(self._bounds[lane.pk]).starts
            if starts := min(room, lane.turn):
                wanted.append((lane, starts + 1))
        return read_heads(self.using, wanted, self._which.not_of, self._now)

    def _begin(
        self, lanes: Sequence[Lane], heads: dict[int, list[Head]], keys: Keys
    ) -> list[_Start]:
        """Take what the keys allow, lane by lane, each in its turn."""
        found: list[_Start] = []
        for lane in lanes:
            bounds = self._bounds[lane.pk]
            for head in heads.get(lane.pk, ())[: lane.turn]:
                if len(found) >= self._starts or not keys.room(bounds).starts:
                    break
                taken = keys.take(bounds)
                own = [Place(k, n, head.id, head.fence + 1) for k, n in taken]
                found.append(_Start(lane, head, own))
        return found

    def _claim(self, begun: list[_Start], keys: Keys) -> list[_Start]:
        """Claim those that get all their places; which they were."""
        wanted = [place for start in begun for place in start.places]
        got = places.take(self.using, self._of.worker, wanted) if wanted else set()
        whole = [
            start
            for start in begun
            if all((place.key, place.number) in got for place in start.places)
        ]
        found = lifecycle.claim(
            self.using,
            self._of.worker,
            "lane IS NOT NULL",
            [],
            len(whole),
            self._now,
            ids=[start.head.id for start in whole],
        )
        fences = {task.pk: task.fence for task in found}
        # One whose fence is another was claimed and given back in between.
        started = [s for s in whole if fences.get(s.head.id) == s.head.fence + 1]
        self._undo([s for s in begun if s not in started], got, keys)
        self.put_away += len(whole) < len(begun)
        self.fruitless = [s.lane.pk for s in whole if s not in started]
        mine = {start.head.id for start in started}
        self.claimed = [task for task in found if task.pk in mine]
        for start in started:
            bounds = self._bounds[start.lane.pk]
            rates = [(b.key, b.interval) for b in bounds if b.interval is not None]
            self.holds[start.head.id] = Hold(start.places, rates)
        if len(found) > len(started):
            others = [lifecycle.claim_of(task) for task in found if task.pk not in mine]
            lifecycle.hand_back(self.using, others)
        return started

    def _undo(
        self, undone: list[_Start], got: set[tuple[str, int]], keys: Keys
    ) -> None:
        back = [p for s in undone for p in s.places if (p.key, p.number) in got]
        places.free(self.using, back)
        for start in undone:
            bounds = self._bounds[start.lane.pk]
            keys.give_back(bounds, [(p.key, p.number) for p in start.places])
        for start in undone:
            for place in start.places:
                if (place.key, place.number) not in got:
                    keys.lost((place.key, place.number))

    def _leave(
        self,
        lanes: Sequence[Lane],
        heads: dict[int, list[Head]],
        started: list[_Start],
        keys: Keys,
    ) -> None:
        """Leave each lane as it is now: gone, held by a key, or open."""
        taken = {(start.lane.pk, start.head.id) for start in started}
        nexts: list[Next] = []
        touched: dict[str, Bound] = {}
        left = {
            lane.pk: [h for h in heads.get(lane.pk, ()) if (lane.pk, h.id) not in taken]
            for lane in lanes
        }
        seen_to_the_end = [of for of in lanes if of.pk in heads and not left[of.pk]]
        empty = are_empty(self.using, seen_to_the_end)
        for lane in lanes:
            bounds = self._bounds[lane.pk]
            touched |= {bound.key: bound for bound in bounds}
            room = keys.room(bounds)
            rest, looked, gone = left[lane.pk], lane.pk in heads, lane.pk in empty
            held_by = None if room.starts or gone else room.held_by
            nexts.append(Next(lane.pk, rest[0].id if rest else None, held_by, gone))
            self.put_away += gone or held_by is not None
            if held_by is not None:
                self._note_full(bounds, held_by, keys)
            elif looked and not heads[lane.pk] and not gone:
                self.fruitless.append(lane.pk)
        leave(self.using, nexts)
        self.opens_in = keys.opens_in(touched.values())
        keys.write(self.opens_in)
        for key, bound in touched.items():
            if key not in self.full and (free := keys.room([bound]).starts):
                self.left_over[key] = min(free, MOST_STARTS)

    def _note_full(self, bounds: Sequence[Bound], key: str, keys: Keys) -> None:
        """Note that a key has no place free. What is shut until a moment opens then."""
        for bound in bounds:
            if bound.key != key:
                continue
            if bound.name is not None:
                self.named[key] = bound.name
            if bound.concurrency and not keys.opens_in([bound]):
                self.full[key] = bound.concurrency
