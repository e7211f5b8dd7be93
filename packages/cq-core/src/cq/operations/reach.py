"""How far the revocation of some tasks reaches, counted up to a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.db.statements import BATCH
from cq.status import OPEN
from cq.tables.queries import tasks
from cq.workflow.many import PIECE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

#: Levels below them that are looked at: what is deeper counts as far.
MOST_LEVELS = 10


def reaches_far(using: str, ids: Sequence[UUID], bound: int = PIECE) -> bool:
    """Tell whether more than so many open tasks are below these.

    What is open below one that has settled is left to the sweep, and not counted.
    """
    wave, count = list(ids), 0
    for _ in range(MOST_LEVELS):
        below: list[UUID] = []
        for start in range(0, len(wave), BATCH):
            open_ = tasks(using).filter(
                parent__in=wave[start : start + BATCH],
                counted=True,
                status__in=sorted(OPEN),
            )
            room = bound + 1 - count - len(below)
            below += open_.values_list("pk", flat=True)[:room]
            if count + len(below) > bound:
                return True
        if not below:
            return False
        wave, count = below, count + len(below)
    return True
