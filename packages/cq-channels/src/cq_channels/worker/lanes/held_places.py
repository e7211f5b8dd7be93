"""The places that the claims of one process hold, until their runs have ended."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cq.lifecycle import Claim
    from cq.limits.claims.claimed import Hold
    from cq.limits.places import Place


class HeldPlaces:
    """The claims from lanes of one process, each with its places; any thread may end one.

    wake: called when one has ended, on the thread that ends it.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._held: dict[Claim, Hold] = {}
        self._freed: list[Place] = []
        #: What was taken of rates by those that were handed back before they began.
        self._not_begun: list[tuple[str, float]] = []
        self._lock = threading.Lock()
        self._suspects: set[Place] = set()

    def add(self, claims: Mapping[Claim, Hold]) -> None:
        """Note what was claimed, before anything of it can end."""
        with self._lock:
            self._held.update(claims)

    def end(self, claim: Claim) -> None:
        """Note that a claim is over, if it was one from a lane."""
        if not self._held:
            return
        with self._lock:
            found = self._held.pop(claim, None)
            if found is None:
                return
            self._freed += found.places
        self._wake()

    def give_back(self, claim: Claim) -> None:
        """Note that a claim is handed back, and was no start; it is to be ended then."""
        with self._lock:
            if hold := self._held.get(claim):
                self._not_begun += hold.rates

    @property
    def some_held(self) -> bool:
        """Whether a run has places that has not ended."""
        return any(hold.places for hold in list(self._held.values()))

    @property
    def some_freed(self) -> bool:
        """Whether there is something to be given back."""
        return bool(self._freed or self._not_begun)

    def take_freed(self) -> list[Place]:
        """Return the places of what has ended, for the caller to give back."""
        with self._lock:
            freed, self._freed = self._freed, []
        return freed

    def take_not_begun(self) -> list[tuple[str, float]]:
        """Return what was taken of rates for nothing, for the caller to give back."""
        with self._lock:
            found, self._not_begun = self._not_begun, []
        return found

    def put_back(self, freed: Iterable[Place]) -> None:
        """Keep places that could not be given back for the next time."""
        with self._lock:
            self._freed += freed

    def orphans(self, mine: Iterable[Place]) -> list[Place]:
        """Return those of our places in the database that nobody here holds, twice in a row.

        The first time it may be a claim whose answer has not arrived yet.
        """
        with self._lock:
            held = {place for hold in self._held.values() for place in hold.places}
            unknown = set(mine) - held - set(self._freed)
            orphans = sorted(unknown & self._suspects)
            self._suspects = unknown
        return orphans
