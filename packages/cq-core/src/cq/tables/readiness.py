"""The moment from which on a task can start, and how long it waited from there.

What is recorded as QUEUED is ready at `submitted`, and that INSERT writes no more than
this. What comes into the queue later has the moment in a column of its own, `ready`, by
the very UPDATE that brings it there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models.functions import Coalesce

from cq.status import Status

if TYPE_CHECKING:
    from datetime import datetime

#: Of the row `t` in SQL, which is QUEUED or has started: of others it says nothing.
READY_SQL = "COALESCE(t.ready, t.submitted)"


def ready_column() -> Coalesce:
    """The same of each row of a query."""
    return Coalesce("ready", "submitted")


def ready_at(task: Any) -> datetime | None:
    """Return since when a row, or its serial double, could start the last time.

    None of what is PENDING, and so cannot yet, and of what has ended, or has become a
    parent, without having started: it may never have been ready.
    """
    if task.status == Status.PENDING:
        return None
    at_once = task.status == Status.QUEUED or task.started is not None
    moment: datetime | None = task.ready
    return task.submitted if moment is None and at_once else moment


def waited(task: Any, now: datetime | None = None) -> timedelta | None:
    """Return how long the latest attempt had to wait until it started; never below 0.

    None where none has started since it was ready. now: of what is QUEUED, how long it
    has waited by then.
    """
    ready = ready_at(task)
    start = now if task.status == Status.QUEUED else task.started
    if ready is None or start is None:
        return None
    if start < ready and task.status == Status.REVOKED:
        return None  # it was queued again, and what has started is the attempt before
    # The clocks of two hosts, or one that was set back.
    return max(start - ready, timedelta())
