"""Claims tasks for the free slots of one worker."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq import async_runner, doorbell, lifecycle, lock_waits, outage
from cq.conf import conf
from cq.picking import Cursors, claim_ids, claim_next
from cq.registry import coroutine_names

from .alone import Alone, fewest_losses
from .apart import Apart
from .held import Held, claim_of
from .lock_patience import limited
from .vital import VitalThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from cq.leases import Lease
    from cq.models import Task

    from .loop import LoopSlots
    from .threads import ThreadSlots

logger = logging.getLogger("cq.worker")

#: Ids from doorbells not looked at yet; more of them is a look at the table.
HINTS = 1000
#: Tasks claimed at once ahead of the slots, while runs are short.
AHEAD = 200
#: Seconds. Longer runs are claimed for free slots only: others may be idle meanwhile.
SHORT_RUN = 0.01
LONGEST_DELAY = 5.0
#: Seconds beyond ``CQ_POLL`` after which it looks by itself, where it found nothing
#: last: until then it is left to maintenance, whose one statement looks for much else.
LEFT_TO_MAINTENANCE = 5.0


class Claimer:
    """Looks at the table when the bell rings, a slot comes free, or time has passed."""

    def __init__(
        self,
        lease: Lease,
        threads: ThreadSlots,
        loop: LoopSlots,
        held: Held,
        queues: list[str] | None,
        exclude: list[str] | None,
        left: int | None,
        died: Callable[[str], None],
    ) -> None:
        self.lease = lease
        self.using = lease.using
        self.threads = threads
        self.loop = loop
        self.held = held
        self.alone = Alone(held)
        self.apart = Apart(held.in_company, threads.count)
        self.queues = queues
        self.exclude = exclude
        #: How many tasks may still be claimed; None: no end.
        self.left = left
        #: Whether the last look at the whole table found nothing.
        self.found_nothing = False
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._hints: set[UUID] = set()
        self._look = True
        self._next_look = 0.0
        self._cursors: Cursors = {}
        #: Of claims ahead, which pass over what may not be run again.
        self._cursors_ahead: Cursors = {}
        self._thread = VitalThread(self._work, "cq-claimer", died)

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
        with self._lock:
            if ready is None or len(self._hints) + len(ready) > HINTS:
                self._look = True
            else:
                self._hints.update(task_id for task_id, _ in ready)
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether there was nothing to claim, and it has not been woken since."""
        with self._lock:
            return self.found_nothing and not self._look and not self._hints

    def slot_came_free(self) -> None:
        self._wake.set()

    def thread_came_free(self) -> None:
        # Not for each of many that are claimed ahead: that is a switch between threads
        # for every task, to find that there is nothing to do.
        if self.threads.waiting <= AHEAD // 2 or self.alone.busy:
            self.slot_came_free()

    @limited()
    def _work(self) -> None:
        delay = 0.1
        try:
            while not self._stopping.is_set():
                # Before looking: what rings from now on is heard after it.
                self._wake.clear()
                try:
                    full = self._claim()
                    delay = 0.1
                except Exception as error:
                    logger.log(
                        outage.level(error),
                        "could not claim; next try in %.1f s",
                        delay,
                        exc_info=True,
                    )
                    connections[self.using].close()
                    self._look = True
                    self._stopping.wait(delay * random.uniform(0.5, 1.0))
                    if not lock_waits.has_run_out(error):
                        delay = min(delay * 2, LONGEST_DELAY)
                    continue
                if not full:
                    rest = self._next_look - time.monotonic()
                    if self.found_nothing:
                        rest += LEFT_TO_MAINTENANCE
                    self._wake.wait(max(0.0, min(rest, self.apart.wait())))
        finally:
            connections[self.using].close()

    def _claim(self) -> bool:
        """Claim for the slots that are free; whether there may be more at once."""
        self._give_back_what_waits()
        if time.monotonic() >= self._next_look:
            # From the front again: ids come in order within one host only, and a row
            # may be committed after one with a greater id.
            self._next_look = time.monotonic() + conf.POLL
            self._cursors.clear()
            self._cursors_ahead.clear()
            self._look = True
        while task := self.apart.next():
            self._admit(task)
        if self.alone.busy and self._run_alone():
            return False
        if not self.lease.healthy or self.left == 0:
            return False
        # Read once: threads come free meanwhile, and were not looked for then.
        free, ahead = self.threads.free, self._ahead()
        room = free > 0 or ahead > 0
        coroutines = coroutine_names()
        if not room and not (coroutines and self.loop.free > 0):
            return False
        with self._lock:
            hints, self._hints = self._hints, set()
            look, self._look = self._look, False
            # Until it is known, lest a burst ends meanwhile.
            nothing, self.found_nothing = self.found_nothing, False
        if len(hints) > free:
            # A look finds them all, and in their order.
            look = True
        # First what may have waited for longer than that which has just been rung for.
        found = self._claim_next(free, ahead, coroutines) if look else 0
        claimed = self._claim_hinted(hints) if hints else 0
        room = room and (self.threads.free > 0 or self._ahead() > 0)
        # Where there was something there may be more, behind the cursors; and what has
        # come while there is no free thread is looked for when there is one.
        self._look = self._look or found > 0 or not room
        if look or self._look:
            nothing = not self._look and not claimed
        self.found_nothing = nothing
        return found > 0

    def _claim_hinted(self, hints: set[UUID]) -> int:
        free = self._allowed(max(self.threads.free, 0))
        found = claim_ids(
            self.using,
            self.lease.worker,
            sorted(hints)[:free],
            queues=self.queues,
            exclude=self.exclude,
        )
        self._put(found)
        return len(found)

    def _claim_next(self, free: int, ahead: int, coroutines: list[str]) -> int:
        found = self._claim_some(free, without=coroutines)
        # Ahead of the slots only what may be run again, were this process to die.
        found += self._claim_some(
            ahead,
            without=coroutines,
            rerun_only=True,
            cursors=self._cursors_ahead,
        )
        if coroutines:
            found += self._claim_some(self.loop.free, only=coroutines)
        return found

    def _claim_some(self, limit: int, **which: Any) -> int:
        limit = self._allowed(limit)
        if limit <= 0:
            return 0
        which.setdefault("cursors", self._cursors)
        found = claim_next(
            self.using,
            self.lease.worker,
            limit,
            queues=self.queues,
            exclude=self.exclude,
            **which,
        )
        self._put(found)
        return len(found)

    def _allowed(self, limit: int) -> int:
        if self._stopping.is_set() or self.alone.excludes:
            return 0
        return limit if self.left is None else min(limit, self.left)

    def _ahead(self) -> int:
        """How many to claim ahead: a batch when half of the last one is gone."""
        if self.threads.duration >= SHORT_RUN or self.threads.waiting > AHEAD // 2:
            return 0
        return AHEAD - self.threads.waiting

    def _put(self, found: list[Task]) -> None:
        if self.left is not None:
            self.left -= len(found)
        self.held.add(claim_of(task) for task in found)
        for task in found:
            if not task.losses:
                self._start(task)
            elif not self.apart.takes(task):
                self._admit(task)

    def _admit(self, task: Task) -> None:
        """Start what has lost a worker, or set it aside until it can run alone."""
        if task.losses < fewest_losses():
            self._start(task)
        else:
            self.alone.put(task)
            self._wake.set()

    def _start(self, task: Task) -> None:
        slots = self.loop if async_runner.suits(task) else self.threads
        slots.put(task)

    def _run_alone(self) -> bool:
        """Start what was set aside, if it may; whether nothing else is to be claimed."""
        if task := self.alone.next():
            logger.warning("%s runs alone: it has lost %d workers", task, task.losses)
            self._start(task)
        return self.alone.excludes

    def take_back(self) -> list[Task]:
        """Return what has been claimed and not started; call it when stopped."""
        waiting = self.apart.take_back() + self.alone.take_back()
        return self.threads.take_back() + waiting

    def _give_back_what_waits(self) -> None:
        """Give back what was claimed ahead when long runs have come in between."""
        if self.threads.waiting > 0 and self.threads.longest() > SHORT_RUN * 10:
            self.give_back(self.threads.take_back())

    def give_back(self, found: list[Task]) -> None:
        """Hand tasks that were not started back to the queue, for whoever is free."""
        claims = [claim_of(task) for task in found]
        try:
            back = lifecycle.hand_back(self.using, claims)
        finally:
            # Also where it is not known whether they are back: nobody here runs them
            # any more, and by that they are found if they are still ours.
            for claim in claims:
                self.held.drop(claim)
        if self.left:
            self.left += len(back)
        doorbell.ring(self.using, back)
