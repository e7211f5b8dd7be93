"""The claimer of one worker: it claims tasks for the slots that are free."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db import outage
from cq.definitions.registry import coroutine_names
from cq.lifecycle import claim_of
from cq.limits.holding import Served
from cq.workers import doorbell
from cq.workers.cursors import Looks
from cq.workers.pauses import CHANGED, KnownPauses
from cq_channels.own_threads import CriticalThread, limit_lock_waits, seconds_to_retry
from cq_channels.slots.claim_ahead import ClaimAhead

from .admission import Admission
from .claims.giving_back import give_back
from .claims.hints import Hints
from .claims.others import OtherClaims
from .claims.pair_scan import PairScan
from .lanes.from_lanes import FromLanes
from .lanes.lane_work import LaneWork
from .left_alone import LeftAlone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from cq.maintenance.probe import Urgent
    from cq.tables.rows import TaskRow
    from cq.workers.lease import Lease
    from cq_channels.slots.event_loop import LoopSlots
    from cq_channels.slots.threads import ThreadSlots

    from .in_flight import InFlight

logger = logging.getLogger("cq.worker")

#: Seconds beyond ``CQ_POLL`` until it looks by itself where its last look found nothing.
#: Until then maintenance looks for it, with one statement that looks for much else too.
LEFT_TO_MAINTENANCE_SECONDS = 5.0


class Claimer:
    """The one thread of a worker that claims.

    It looks at the table when the doorbell rings, a slot comes free, or time has passed.
    queues, exclude: names of queues to claim from, or not to; None: all. tasks_left: how
    many tasks may be claimed in all; None: no end.
    """

    def __init__(
        self,
        lease: Lease,
        threads: ThreadSlots,
        loop: LoopSlots,
        in_flight: InFlight,
        queues: list[str] | None,
        exclude: list[str] | None,
        tasks_left: int | None,
        died: Callable[[str], None],
    ) -> None:
        self.lease = lease
        self.using = lease.using
        self.threads = threads
        self.loop = loop
        self.in_flight = in_flight
        self._wake = threading.Event()
        self.admission = Admission(threads, loop, in_flight, self._wake.set)
        self.run_alone = self.admission.run_alone
        self._exclude = exclude
        self._which: dict[str, Any] = {"queues": queues, "exclude": exclude}
        #: Whether somebody waits for it to be idle: then it is not while lanes are held.
        self.burst = False
        #: How many more tasks may be claimed.
        self.tasks_left = tasks_left
        self.hints = Hints()
        self.ahead = ClaimAhead(threads)
        self._stopping = threading.Event()
        self._looks = Looks()
        self.pauses = KnownPauses(self.using)
        self._pair_scan = PairScan(self.using)
        self.left_alone = LeftAlone(self.using, lease.worker)
        self.lanes = LaneWork(self.using, lease.worker, in_flight.places, self._served)
        self.from_lanes = FromLanes(self.lanes, self.ahead, loop, self._take)
        self.others = OtherClaims(
            lease, self._which, self._looks, loop, self._served, self._take
        )
        self._thread = CriticalThread(self._work, "cq-claimer", died)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Claim no more, without waiting for the claim that is under way."""
        self._stopping.set()
        self._wake.set()

    def stop(self) -> None:
        """Claim no more; returns when that is sure."""
        self.close()
        self._thread.join()

    def wake(self, ready: Sequence[tuple[UUID, str]] | None) -> None:
        """Look at these tasks, or with None at the table, once a slot is free."""
        if ready is None:
            self.pauses.rung_for_anything()
            self.lanes.rung()
        # Those of a paused queue would stand before others that may start.
        self.hints.add(ready, self.pauses.now.queues)
        self._wake.set()

    def looked(self, work: Urgent, began: float) -> None:
        """Hear what a look has found, that began then."""
        paused = self.pauses.looked(work.paused, began)
        if self.lanes.found(work.newcomers, work.lanes) or paused:
            self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether there was nothing to claim, and it has not been woken since."""
        return self.hints.exhausted and not self.lanes.pending

    def lane_ended(self) -> None:
        """Hear that a run from a lane has ended: its places are to be given back."""
        if self._thread.is_alive():
            self._wake.set()
        else:
            self.lanes.flush()

    def slot_came_free(self) -> None:
        self._wake.set()

    def thread_came_free(self) -> None:
        # Not woken for each of many tasks that are claimed ahead: that would be a switch
        # between threads for every task, to find that there is nothing to do.
        if self.ahead.low or self.run_alone.busy:
            self.slot_came_free()

    @limit_lock_waits()
    def _work(self) -> None:
        delay = outage.ReconnectDelay()
        try:
            while not self._stopping.is_set():
                # Cleared before the look: who rings during it is heard after it.
                self._wake.clear()
                try:
                    more = self._claim()
                except Exception as error:
                    self._wait_after(error, delay)
                    continue
                delay.reset()
                if not more:
                    self._wait_for_work()
        finally:
            connections[self.using].close()

    def _wait_after(self, error: Exception, delay: outage.ReconnectDelay) -> None:
        seconds = seconds_to_retry(delay, error)
        outage.log(logger, error, "could not claim; next try in %.1f s", seconds)
        connections[self.using].close()
        self.hints.table = True
        self._stopping.wait(seconds * random.uniform(0.5, 1.0))

    def _wait_for_work(self) -> None:
        seconds = self._looks.next - time.monotonic()
        if self.hints.found_nothing:
            seconds += LEFT_TO_MAINTENANCE_SECONDS
        seconds = min(seconds, self.admission.hold_back.wait(), self.lanes.opens_in)
        self._wake.wait(max(0.0, seconds))

    def _claim(self) -> bool:
        """Claim for the slots that are free; return whether there may be more at once."""
        self._heed_pauses()
        self._give_back_what_waits()
        if self._looks.due:
            if not self._looks.begin():
                self._pair_scan.learn(self._looks.sets, **self._which)
            self.hints.table = True
        if self.hints.drop(doorbell.LANES) or (self.hints.table and self.lanes.exist):
            self.lanes.rung()
        if self.lanes.pending:
            self.lanes.prepare(self.hints.added)
        if self.admission.go_on():
            return False
        if not self.lease.healthy or self.tasks_left == 0:
            return False
        # Read once: for threads that come free from here on nothing was claimed.
        free, ahead = self.threads.free, self.ahead.wanted()
        room = free > 0 or ahead > 0
        coroutines = coroutine_names()
        if not (room or (coroutines and self.loop.free > 0) or self.from_lanes.room):
            self.lanes.tell_others()
            return False
        if self.lanes.open:
            highest = self.others.highest(self._pair_scan)
            self.from_lanes.urgent(coroutines, highest)
            free = self.threads.free
        nothing = self.hints.found_nothing
        ids, look = self.hints.take()
        if len(ids) > free:
            # A look at the table finds them all, and in their order.
            look = True
        if look and self.hints.rung and self._pair_scan.due:
            self.hints.rung = False
            self._pair_scan.learn(self._looks.sets, **self._which)
        # First the table: its tasks may have waited longer than those just rung for.
        self._looks.passing.more = False
        found = on_loop = claimed = 0
        if look:
            found, on_loop = self.others.next(free, ahead, coroutines)
        more = found + on_loop > 0 or self._looks.passing.more
        if ids:
            claimed = self.others.hinted(ids, self.threads.free)
        self.ahead.claimed(others=found + claimed)
        if self.lanes.exist:
            if claimed < len(ids):
                self.lanes.not_claimed(self.hints.added)
            self.from_lanes.rest(coroutines)
            more = more or self.lanes.pending
        room = room and (self.threads.free > 0 or self.ahead.wanted() > 0)
        # Where something was found there may be more behind the cursors; and what came, or
        # may not be claimed ahead, while no thread was free is looked for when one is.
        if more or not room or free <= 0:
            self.hints.table = True
        if look or self.hints.table:
            nothing = not self.hints.table and not claimed
            # Asked for a burst alone: it may come past very many of what is paused.
            nothing = nothing and not (self.burst and self.lanes.left())
        self.hints.found_nothing = nothing
        return more

    def _served(self) -> Served:
        without = tuple({*self.left_alone.names(), *self.pauses.now.tasks})
        return Served(self._which["queues"], self._which["exclude"] or (), without)

    def _take(
        self, limit: int, claim: Callable[[int, Sequence[str]], list[TaskRow]]
    ) -> int:
        limit = self._allowed(limit)
        found = claim(limit, self.left_alone.releases()) if limit > 0 else []
        self._put(found)
        return len(found)

    def _allowed(self, limit: int) -> int:
        if self._stopping.is_set() or self.run_alone.excludes:
            return 0
        return limit if self.tasks_left is None else min(limit, self.tasks_left)

    def _put(self, found: list[TaskRow]) -> None:
        if self.tasks_left is not None:
            self.tasks_left -= len(found)
        found, newer, unknown = self.left_alone.parted(found)
        self.in_flight.add(claim_of(task) for task in found)
        self.admission.take(found)
        if newer or unknown:
            # They were never in flight: should this fail, maintenance rescues them.
            self.give_back(newer + self.left_alone.leave_unknown(unknown))

    def take_back(self) -> list[TaskRow]:
        """Return the tasks that were claimed and have not started; call it when stopped."""
        return self.admission.take_back()

    def _heed_pauses(self) -> None:
        """Learn what is paused, where that may have changed, and give back what is."""
        if self.hints.drop(CHANGED):
            self.pauses.rung()
        if not self.pauses.refresh():
            return
        paused_or_not_served = {*(self._exclude or ()), *self.pauses.now.queues}
        self._which["exclude"] = sorted(paused_or_not_served) or None
        self._looks.restart(self.pauses.now.tasks)
        self.lanes.rung()
        self.hints.table = True
        if self.pauses.now.any:
            waiting = self.take_back()
            paused = [task for task in waiting if self.pauses.now.covers(task)]
            self.admission.take([task for task in waiting if task not in paused])
            # Nobody is rung for: it is paused for all.
            self.give_back(paused, rings=False)

    def _give_back_what_waits(self) -> None:
        """Give back tasks that were claimed ahead once long runs have come in between."""
        if self.ahead.long_runs_in_between:
            # Before they are ours no more, or a burst could end in between.
            self.hints.table = True
            self.give_back(self.threads.take_back())

    def give_back(self, found: list[TaskRow], *, rings: bool = True) -> None:
        """Hand tasks that were not started back to the queue, for whoever is free."""
        back = give_back(self.using, self.in_flight, found, rings=rings)
        if self.tasks_left:
            self.tasks_left += back
