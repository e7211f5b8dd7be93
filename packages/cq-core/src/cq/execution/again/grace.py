"""The grace of what a process cannot run, since its code may be of another release.

For ``CQ_UNKNOWN_GRACE`` seconds such a task is tried again, and no try counts against its
`retries`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.definitions.backoff import delay_within

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow


def seconds_until_next_try(task: TaskRow) -> float | None:
    """Return the seconds to wait after a try of it; None when the grace is over."""
    return delay_within(conf.UNKNOWN_GRACE, task.misfits)


def has_begun(task: TaskRow) -> bool:
    """Tell whether some process has said before that it cannot run it."""
    return bool(task.misfits) and task.run_after is not None


def is_over(task: TaskRow, now: datetime) -> bool:
    """Tell whether it has begun so long ago; for who leaves the task to others meanwhile.

    now: by the database's clock.
    """
    over = now - timedelta(seconds=conf.UNKNOWN_GRACE)
    return task.run_after is not None and task.run_after <= over


def failures_of_its_own(task: TaskRow) -> int:
    """Return how often its function has failed, which is what `retries` limits."""
    return task.failures - task.misfits
