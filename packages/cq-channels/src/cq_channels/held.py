"""The claims that this process works on, so that a claim nobody works on is found."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from cq import outage
from cq.lifecycle import Claim

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from cq.models import Task

    from .board import Board


logger = logging.getLogger("cq.worker")


def claim_of(task: Task) -> Claim:
    """Return the claim under which a task was given to this process."""
    assert task.worker_id is not None
    # Not `pk`, here and below: that looks for the key, and this is for each task.
    return Claim(task.id, task.fence, task.worker_id)


class Held:
    """Claims from the moment they are made until their outcome is written."""

    def __init__(self, board: Board | None = None) -> None:
        self._claims: dict[UUID, Claim] = {}
        self._lock = threading.Lock()
        self._suspects: set[UUID] = set()
        self._board = board
        #: By task: the place on the board of a run that has begun.
        self._places: dict[UUID, int] = {}
        #: Claims that were dropped through no fault of what ran under them.
        self._blameless: set[UUID] = set()
        #: Claims whose outcome was written, or given up.
        self.ended = 0

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, claim: Claim) -> bool:
        return self._claims.get(claim.id) == claim

    def add(self, claims: Iterable[Claim]) -> None:
        with self._lock:
            self._claims.update((claim.id, claim) for claim in claims)

    def begin(self, task: Task) -> None:
        """Let the supervisor know that a task is about to run."""
        if self._board is not None and task.id not in self._places:
            place = self._board.begin(task.id)
            if place is not None:
                self._places[task.id] = place

    def limit(self, task_id: UUID, moment: float) -> None:
        """Let the supervisor know when the time of a run is over; 0: it has ended."""
        place = self._places.get(task_id)
        if place is None or self._board is None:
            return
        self._board.limit(place, moment)
        if self._places.get(task_id) != place:
            # It has just ended, and another may have its place.
            self._board.limit(place, 0.0)

    def in_company(self) -> bool:
        """Whether no other process of this worker is missing."""
        return self._board is None or self._board.complete

    def finish(self, task: Task) -> None:
        """Its function has returned, the outcome is yet to be written.

        It is not the cause any more if this process dies. Where it may run again, it
        is as if it had not begun.
        """
        if task.rerun_lost:
            self._leave_board(task.id)

    def _leave_board(self, task_id: UUID) -> None:
        place = self._places.pop(task_id, None)
        if place is not None and self._board is not None:
            self._board.end(place)

    def unwritten(self, task: Task, error: Exception) -> None:
        """Its outcome could not be written: its claim becomes one nobody works on."""
        logger.error("the outcome of %s could not be written", task, exc_info=error)
        if task.rerun_lost and outage.was_shutdown(error):
            with self._lock:
                self._blameless.add(task.pk)

    def drop(self, claim: Claim) -> None:
        with self._lock:
            # The task may be back here already, under a later claim.
            if self._claims.get(claim.id) != claim:
                return
            del self._claims[claim.id]
            self.ended += 1
            self._leave_board(claim.id)

    def all(self) -> list[Claim]:
        with self._lock:
            return list(self._claims.values())

    def orphans(self, running: Iterable[UUID]) -> list[UUID]:
        """Return those of our `running` rows that nobody works on, twice in a row.

        Once may be a claim whose answer has not arrived yet.
        """
        with self._lock:
            unknown = {pk for pk in running if pk not in self._claims}
            orphans = sorted(unknown & self._suspects)
            self._suspects = unknown
            return orphans

    def excused(self, orphans: Iterable[UUID]) -> set[UUID]:
        """Return those of the orphans whose loss is not held against them; once."""
        with self._lock:
            found = self._blameless.intersection(orphans)
            self._blameless -= found
            return found
