"""Every change of a task's status: one guarded UPDATE each, that tells if it won.

The moves are the verbs of :data:`cq.status.TRANSITIONS`. A run is known by its claim:
task id, fence and worker. The fence is raised by every claim, rescue, revoke and
retry and never lowered, so a run whose claim was given away matches no row any more.
`worker` is set exactly while RUNNING (a constraint of the table), so a guard on it
implies the status; naming the status as well would draw PostgreSQL's planner to the
partial index of what runs, which rots under load.

Lock order: a transaction locks a task before its dependants and its parent, and
several of a kind by ascending id.
"""

from __future__ import annotations

from .claiming import claim
from .claims import Claim, Failure, claim_of
from .completing import complete, complete_many
from .failing import fail, postpone, retry_later
from .guards import DEADLINE, is_undone
from .parents import (
    add_children,
    child_settled,
    clear_child_failure,
    compensate,
    settle,
    show_child_failure,
)
from .precedence import HIGHEST, LOWEST, check_priority, hasten, move, prioritize
from .queueing import (
    DELAY,
    drain,
    hand_back,
    not_being_replaced,
    queue,
    queue_due,
    start_delays,
)
from .replacing import DEBOUNCE, end_spans, replace
from .retrying import reopen, retry, retry_many, wait_again
from .suspending import (
    begin_anew,
    forget_losses,
    hand_over,
    own_children,
    suspend,
    wake,
)
from .withdrawing import block, expire, miss, rescue, revoke, skip

__all__ = [
    "DEADLINE",
    "DEBOUNCE",
    "DELAY",
    "HIGHEST",
    "LOWEST",
    "Claim",
    "Failure",
    "add_children",
    "begin_anew",
    "block",
    "check_priority",
    "child_settled",
    "claim",
    "claim_of",
    "clear_child_failure",
    "compensate",
    "complete",
    "complete_many",
    "drain",
    "end_spans",
    "expire",
    "fail",
    "forget_losses",
    "hand_back",
    "hand_over",
    "hasten",
    "is_undone",
    "miss",
    "move",
    "not_being_replaced",
    "own_children",
    "postpone",
    "prioritize",
    "queue",
    "queue_due",
    "reopen",
    "replace",
    "rescue",
    "retry",
    "retry_later",
    "retry_many",
    "revoke",
    "settle",
    "show_child_failure",
    "skip",
    "start_delays",
    "suspend",
    "wait_again",
    "wake",
]
