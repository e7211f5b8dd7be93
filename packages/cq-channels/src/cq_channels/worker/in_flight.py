"""The claims in flight: those that this process works on.

By them a claim of this process that nobody works on is found.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from cq.db import error_codes, outage

from .lanes.held_places import HeldPlaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from cq.lifecycle import Claim
    from cq.tables.rows import TaskRow


logger = logging.getLogger("cq.worker")


class Supervision(Protocol):
    """The page shared with a supervisor: what it is told of runs, and what it tells."""

    @property
    def complete(self) -> bool:
        """Whether no other process of this worker is missing."""
        ...

    def begin(self, task_id: UUID) -> int | None:
        """Note that a task is about to run; return its place, None if none is free."""
        ...

    def limit(self, place: int, moment: float) -> None:
        """Note when the time of a run is over, by the monotonic clock; 0: it has ended."""
        ...

    def end(self, place: int) -> None:
        """Give a place back."""
        ...


class InFlight:
    """The claims of this process, from when they are made to when the outcome is written.

    lane_ended: called when one is over that was claimed from a lane.
    """

    def __init__(
        self,
        shared_page: Supervision | None = None,
        lane_ended: Callable[[], None] = lambda: None,
    ) -> None:
        #: The places of those that were claimed from lanes.
        self.places = HeldPlaces(lane_ended)
        #: By the number of their task's id.
        self._claims: dict[int, Claim] = {}
        self._lock = threading.Lock()
        self._suspects: set[UUID] = set()
        self._shared_page = shared_page
        #: The same way: the place on the shared page of a run that has begun.
        self._places: dict[int, int] = {}
        #: Claims that were dropped through no fault of what ran under them.
        self._blameless: set[UUID] = set()
        #: Claims whose outcome was written, or given up.
        self.ended = 0

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, claim: Claim) -> bool:
        return self._claims.get(claim.id.int) == claim

    def add(self, claims: Iterable[Claim]) -> None:
        with self._lock:
            self._claims.update((claim.id.int, claim) for claim in claims)

    def begin(self, task: TaskRow) -> None:
        """Let the supervisor know that a task is about to run."""
        number = task.id.int
        if self._shared_page is not None and number not in self._places:
            place = self._shared_page.begin(task.id)
            if place is not None:
                self._places[number] = place

    def limit(self, task_id: UUID, moment: float) -> None:
        """Let the supervisor know when the time of a run is over; 0: it has ended.

        moment: by the monotonic clock.
        """
        place = self._places.get(task_id.int)
        if place is None or self._shared_page is None:
            return
        self._shared_page.limit(place, moment)
        if self._places.get(task_id.int) != place:
            # The run has just ended, and another may have got its place.
            self._shared_page.limit(place, 0.0)

    def is_worker_complete(self) -> bool:
        """Whether no other process of this worker is missing."""
        return self._shared_page is None or self._shared_page.complete

    def finish(self, task: TaskRow) -> None:
        """Note that the function of a task has returned; its outcome is to be written.

        If this process dies now, the task was not the cause. Where it may run again, it
        is as if it had not begun.
        """
        if task.rerun_lost:
            self._free_place(task.id.int)

    def _free_place(self, number: int) -> None:
        place = self._places.pop(number, None)
        if place is not None and self._shared_page is not None:
            self._shared_page.end(place)

    def unwritten(self, task: TaskRow, error: Exception) -> None:
        """Note that an outcome could not be written: nobody works on its claim then."""
        if error_codes.is_out_of_reach(error):
            outage.log(logger, error, "the outcome of %s could not be written", task)
        else:
            logger.error("the outcome of %s could not be written", task, exc_info=error)
        if task.rerun_lost and error_codes.was_shutdown(error):
            with self._lock:
                self._blameless.add(task.pk)

    def drop(self, claim: Claim) -> None:
        self.places.end(claim)
        number = claim.id.int
        with self._lock:
            # The task may have been claimed here again already, under a later fence.
            if self._claims.get(number) != claim:
                return
            del self._claims[number]
            self.ended += 1
            self._free_place(number)

    def all(self) -> list[Claim]:
        with self._lock:
            return list(self._claims.values())

    def orphans(self, running: Iterable[UUID]) -> list[UUID]:
        """Return those of our `running` rows that nobody works on, twice in a row.

        The first time it may be a claim whose answer has not arrived yet.
        """
        with self._lock:
            unknown = {pk for pk in running if pk.int not in self._claims}
            orphans = sorted(unknown & self._suspects)
            self._suspects = unknown
            return orphans

    def excused(self, orphans: Iterable[UUID]) -> set[UUID]:
        """Return those of the orphans that are not charged with a loss; and forget them."""
        with self._lock:
            found = self._blameless.intersection(orphans)
            self._blameless -= found
            return found
