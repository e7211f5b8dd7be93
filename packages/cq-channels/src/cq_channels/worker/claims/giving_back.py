"""How one process gives claims back: those that have not begun, and those that do not end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cq import lifecycle
from cq.lifecycle import claim_of
from cq.maintenance import rescue
from cq.tables.queries import tasks
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cq.tables.rows import TaskRow
    from cq_channels.worker.in_flight import InFlight

logger = logging.getLogger("cq.worker")


def give_back(
    using: str, in_flight: InFlight, found: Iterable[TaskRow], *, rings: bool
) -> int:
    """Hand tasks that were not started back to the queue, for whoever is free; how many."""
    claims = [claim_of(task) for task in found]
    try:
        back = lifecycle.hand_back(using, claims)
        for claim in claims:
            in_flight.places.give_back(claim)
    finally:
        # Also where it is not known whether they are back: nobody here runs them any
        # more, and maintenance rescues those that are still ours.
        for claim in claims:
            in_flight.drop(claim)
    if rings:
        doorbell.ring(using, back)
    return len(back)


def give_up(using: str, in_flight: InFlight) -> None:
    """Hand what still runs after the drain back, or make it LOST where it may not run twice.

    Their places stay theirs: until this process has ended their functions run on.
    """
    for claim in in_flight.all():
        again = tasks(using).filter(pk=claim.id, rerun_lost=True).exists()
        if again:
            back = rescue.hand_back(using, claim, ended=False)
            doorbell.ring(using, back)
        else:
            rescue.rescue(using, claim.worker, "drained", only=[claim.id], ended=False)
        logger.warning(
            "task %s was still running after the drain: %s",
            claim.id,
            "handed back" if again else "LOST",
        )
