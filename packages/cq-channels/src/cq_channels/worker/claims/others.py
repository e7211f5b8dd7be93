"""The claims of one claimer of what has no lane: from the table, and of what was rung for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.workers.claim_order import claim_ids, claim_next, ready_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from cq.limits.holding import Served
    from cq.tables.rows import TaskRow
    from cq.workers.cursors import Looks
    from cq.workers.lease import Lease
    from cq_channels.slots.event_loop import LoopSlots

    from .pair_scan import PairScan

    #: Claims so many, but none of some releases.
    Claim = Callable[[int, Sequence[str]], list[TaskRow]]


class OtherClaims:
    """The claims of what has no lane. For the thread that claims.

    which: the names of queues to claim from, or not to, as they are at the moment; served:
    returns them, and the names that are left alone. take: claims and starts up to so many,
    and tells how many those were.
    """

    def __init__(
        self,
        lease: Lease,
        which: dict[str, Any],
        looks: Looks,
        loop: LoopSlots,
        served: Callable[[], Served],
        take: Callable[[int, Claim], int],
    ) -> None:
        self.using, self._worker = lease.using, lease.worker
        self._which, self._looks, self._loop = which, looks, loop
        self._served, self._take = served, take
        self._highest: int | None = None

    def hinted(self, ids: Collection[UUID], free: int) -> int:
        """Claim of these tasks what is to be had, for so many slots; how many."""

        def claim(limit: int, not_of: Sequence[str]) -> list[TaskRow]:
            without = list(self._served().without_names)
            which = {**self._which, "without": without, "not_of": not_of}
            return claim_ids(self.using, self._worker, sorted(ids)[:limit], **which)

        return self._take(min(len(ids), max(free, 0)), claim)

    def next(self, free: int, ahead: int, coroutines: list[str]) -> tuple[int, int]:
        """Claim from the table; how many for threads, and how many for the loop."""
        without = [*coroutines, *self._served().without_names]
        found = self._some(free, without=without)
        # Ahead of the slots only tasks that may run again if this process dies.
        found += self._some(
            ahead,
            without=without,
            rerun_only=True,
            cursors=self._looks.ahead,
        )
        on_loop = self._some(self._loop.free, only=coroutines) if coroutines else 0
        return found, on_loop

    def _some(self, limit: int, **which: Any) -> int:
        which = {"cursors": self._looks.cursors, **self._which, **which}
        which["passing"] = self._looks.passing

        def claim(limit: int, not_of: Sequence[str]) -> list[TaskRow]:
            return claim_next(self.using, self._worker, limit, not_of=not_of, **which)

        return self._take(limit, claim)

    def highest(self, scan: PairScan) -> int | None:
        """Return the highest priority under which something waits; None: nothing does.

        As it was at the last scan, where it is too soon for another.
        """
        if scan.due:
            with scan.timed():
                pairs = ready_pairs(self.using, **self._which)
            self._highest = pairs[0][1] if pairs else None
        return self._highest
