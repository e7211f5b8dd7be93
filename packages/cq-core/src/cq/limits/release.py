"""The release of places whose worker does not give them back by itself: it is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.workers import doorbell

from . import places
from .holding import open_lanes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from uuid import UUID


def release(using: str, held: Iterable[places.Place]) -> int:
    """Give places back, and let others start in them; how many came free.

    To be called outside of a transaction, see :mod:`cq.limits.holding`.
    """
    freed = places.free(using, held)
    if open_lanes(using, freed):
        doorbell.ring(using, [(doorbell.LANES, "")])
    return freed.total()


def release_runs(using: str, worker: int, runs: Collection[tuple[UUID, int]]) -> None:
    """Give back the places of some runs of a worker, as (task, fence)."""
    if runs:
        release(using, places.of_runs(using, worker, runs))


def release_worker(using: str, worker: int) -> None:
    """Give back all places of a worker that is gone."""
    release(using, places.of_worker(using, worker))
