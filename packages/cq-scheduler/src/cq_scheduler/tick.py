"""Makes the tasks whose time has come. Any number of schedulers may tick at once.

A pass takes a bounded number of schedules that are due and makes their tasks in one
transaction: it locks their rows, leaving out those that another scheduler has or that
have changed since they were read, records the tasks, each with a row for its slot, and
moves ``next_run`` on from the slot. The row of the slot is what keeps it from being made
twice when ``next_run`` was set back by hand. If anything is refused, each schedule gets
a transaction of its own, so that one which cannot run holds up no other.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import F

from cq.clock import database_now
from cq.serving import left_to_the_table
from cq.uniqueness import waiting_at_most

from .due import come_to, find_next, now_due, unknown
from .firing import fire_all
from .models import slots
from .pausing import resume_due

if TYPE_CHECKING:
    from .due import Due
    from .models import RepeatingTask

#: Schedules a pass, and tasks: those of one schedule more at most.
LIMIT = 100
MOST_TASKS = 1000
#: How long it is known which slots have been made.
KEPT = timedelta(days=7)
#: Seconds to wait for a transaction that holds the unique key of a run.
PATIENCE = 0.2


def tick(using: str, now: datetime | None = None, limit: int = LIMIT) -> int:
    """Make what is due, for at most `limit` schedules; how many tasks were made.

    A schedule that cannot run gets its `last_error` and is passed over; the others go
    on. Raises OperationalError or InterfaceError when the database doesn't answer.
    """
    now = now or database_now(using)
    # With cq-core alone a task would run right here, and the other schedules wait.
    with left_to_the_table(), waiting_at_most(PATIENCE):
        resume_due(using, now, limit)
        for schedule in unknown(using, limit):
            find_next(using, schedule, now)
        return fire_all(using, _bounded(using, now_due(using, now, limit), now), now)


def prune(using: str, now: datetime | None = None, limit: int = 1000) -> int:
    """Forget slots that were made longer than `KEPT` ago, at most `limit` of them.

    The last one of each schedule stays, for people to find its run by.
    """
    over = (now or database_now(using)) - KEPT
    old = slots(using).filter(made__lt=over).exclude(slot=F("schedule__last_run"))
    ids = list(old.order_by("made").values_list("pk", flat=True)[:limit])
    return slots(using).filter(pk__in=ids).delete()[0] if ids else 0


def _bounded(using: str, rows: list[RepeatingTask], now: datetime) -> list[Due]:
    """Find what the first of them make, until that is enough for a pass."""
    found: list[Due] = []
    tasks = 0
    for row in rows:
        due = come_to(using, row, now)
        if due is not None:
            found.append(due)
            tasks += len(due.choice.slots)
        if tasks >= MOST_TASKS:
            break
    return found
