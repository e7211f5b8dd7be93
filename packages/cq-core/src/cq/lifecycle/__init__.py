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

from .again import reopen, retry
from .counting import add_children, child_settled, forgive
from .ending import complete, complete_many, fail, postpone, settle
from .guards import Claim, Failure
from .starting import claim, hand_back, queue, queue_due
from .withdrawing import block, expire, rescue, revoke, skip

__all__ = [
    "Claim",
    "Failure",
    "add_children",
    "block",
    "child_settled",
    "claim",
    "complete",
    "complete_many",
    "expire",
    "fail",
    "forgive",
    "hand_back",
    "postpone",
    "queue",
    "queue_due",
    "reopen",
    "rescue",
    "retry",
    "revoke",
    "settle",
    "skip",
]
