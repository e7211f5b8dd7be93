"""The grace of what a process cannot run, since its code may be of another release.

For ``CQ_UNKNOWN_GRACE`` seconds such a task is tried again, and no try counts against its
`retries`.

Steps of an earlier run that don't fit (StepMismatch) are mended by no try of the same code, so
they are a FAILURE at once. But while a deploy goes from process to process, an old worker
may come to what a new one has begun, or the other way round: an end would take back orders
that are well. So as long as workers of another release (``CQ_RELEASE``) live, there is this
grace for it as well.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.definitions.backoff import delay_within
from cq.workers.liveness import live_workers

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow


def seconds_until_next_try(task: TaskRow) -> float | None:
    """Return the seconds to wait after a try of it; None when the grace is over."""
    return delay_within(conf.UNKNOWN_GRACE, task.misfits)


def is_deployed(using: str) -> bool:
    """Tell whether a deploy is under way: workers of another release than this one live."""
    if conf.RELEASE is None:
        return False
    return any(worker.release != conf.RELEASE for worker in live_workers(using))


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
