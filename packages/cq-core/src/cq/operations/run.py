"""The function of ``cq.operation``: batch after batch, until it is done or has to stop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cq import lifecycle
from cq.errors import LeaseLost
from cq.execution.inline import runs_by_the_way, runs_here
from cq.workers import doorbell
from cq.workflow.many import PIECE

from .batches import MOST_NAMED, Batches
from .cursor import read
from .operation import Operation

if TYPE_CHECKING:
    from cq.runs.run import Run

#: Tasks that are queued by a batch where they then run at once, before it returns.
RUN_AT_ONCE = 20


def run(cqt: Any, given: dict[str, Any]) -> dict[str, int]:
    """Do what is left of the operation that is claimed; what came of all of it.

    In a process that runs tasks by the way it does no more than fits into a batch, and
    goes back to the queue.
    Raises ValueError for arguments that are of no operation.
    """
    operation = Operation.of(given)
    this: Run = cqt._run
    batches = Batches(this.using, this.claim, operation, cqt.attempts)
    before, _ = read(this.using, this.claim)
    batches.say(f"goes on: {before.words()}" if before.looked else operation.words())
    by_the_way = runs_by_the_way(this.using, this.claim.worker)
    at_once = by_the_way and runs_here() and operation.verb.begins
    limit = RUN_AT_ONCE if at_once and not operation.spread else PIECE
    while True:
        cqt.check_claim()
        cursor = batches.next(limit)
        if cursor.done:
            break
        reached = cursor.reached - before.reached
        if cqt.stopping or (by_the_way and reached >= limit):
            _hand_back(this)
    level = logging.WARNING if cursor.refused else logging.INFO
    batches.say(cursor.words(), level)
    if cursor.refused > MOST_NAMED:
        batches.say(f"the first {MOST_NAMED} that were refused are named", level)
    return cursor.result


def _hand_back(this: Run) -> None:
    """Leave the rest to another run, of this process or of any; raises LeaseLost."""
    back = lifecycle.hand_back(this.using, [this.claim])
    this.ended = f"operation {this.claim.id} goes on in another run"
    if not runs_here():
        doorbell.ring(this.using, back)
    raise LeaseLost(this.ended)
