"""The tick: one pass over what is due. Any number of schedulers may tick at once.

A pass takes a bounded number of schedules that are due and makes their tasks in one
transaction: it locks their rows, leaving out those that another scheduler has or that
have changed since they were read, records the tasks, each with a row for its slot, and
moves ``next_run`` on from the slot. The row of the slot is what keeps it from being made
twice when ``next_run`` was set back by hand. If anything is refused, each schedule gets
a transaction of its own, so that one which cannot run holds up no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.db.clock import database_now
from cq.enqueue.unique_wait import waiting_at_most
from cq.execution.inline import suspended
from cq_scheduler.actions.resume_due import resume_due

from .due import due_schedules, evaluate, set_next_run, without_next_run
from .firing import fire_all

if TYPE_CHECKING:
    from datetime import datetime

    from cq_scheduler.models import RepeatingTask

    from .due import DueSchedule

#: In one pass. Of tasks, those of one schedule more at most.
MAX_SCHEDULES = 100
MAX_TASKS = 1000
#: For a transaction that holds the unique key of a run.
UNIQUE_WAIT_SECONDS = 0.2


def tick(using: str, now: datetime | None = None, limit: int = MAX_SCHEDULES) -> int:
    """Make what is due, for at most `limit` schedules; return how many tasks were made.

    A schedule that cannot run gets its `last_error` and is passed over; the others go
    on. Raises OperationalError or InterfaceError when the database doesn't answer.
    """
    now = now or database_now(using)
    # With cq-core alone a task would run right here, and the other schedules wait.
    with suspended(), waiting_at_most(UNIQUE_WAIT_SECONDS):
        resume_due(using, now, limit)
        for schedule in without_next_run(using, limit):
            set_next_run(using, schedule, now)
        return fire_all(
            using, _bounded(using, due_schedules(using, now, limit), now), now
        )


def _bounded(using: str, rows: list[RepeatingTask], now: datetime) -> list[DueSchedule]:
    """Return what the first of them make, until that is enough for a pass."""
    found: list[DueSchedule] = []
    tasks = 0
    for row in rows:
        due = evaluate(using, row, now)
        if due is not None:
            found.append(due)
            tasks += len(due.choice.slots)
        if tasks >= MAX_TASKS:
            break
    return found
