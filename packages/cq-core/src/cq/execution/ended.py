"""The end of a run: what it is to be called, and as the worker's log shows it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from cq.errors import OutOfTime, TaskTimeout
from cq.lifecycle.withdrawing import MISSED
from cq.status import Status

if TYPE_CHECKING:
    from cq.lifecycle import Failure
    from cq.runs.run import Run
    from cq.tables.rows import TaskRow

    from .attempt import Attempt

logger = logging.getLogger("cq.runner")


class MissedDeadline(TaskTimeout):
    """What ends a run at the deadline of its task, which is not tried again."""


class Ended(NamedTuple):
    """How a run ended, for who shows it.

    status: None where its claim was given away, or `revoked`. exception: "" also where it
    raised RetryLater. retry_in: seconds.
    """

    status: Status | None
    revoked: bool = False
    exception: str = ""
    error: str = ""
    traceback: str = ""
    retry_in: float | None = None


def ended_of(
    run: Run, status: Status | None, failure: Failure | None, retry_in: float | None
) -> Ended:
    """Return how a run ended: `status` is the one recorded, None where none was."""
    if status is None:
        return Ended(None, revoked=run.revoked)
    if failure is None:
        return Ended(status, retry_in=retry_in if status == Status.RETRY else None)
    return Ended(
        status,
        exception=failure.exception or "",
        error=failure.error,
        traceback=failure.traceback or "",
        retry_in=retry_in,
    )


def as_timeout(attempt: Attempt, error: BaseException) -> BaseException:
    """Return a TaskTimeout for what ended a run that was out of time; else the error."""
    run = attempt.run
    if not run.overdue or not (
        run.interrupter.interrupted or isinstance(error, OutOfTime)
    ):
        return error
    if attempt.until_deadline:
        late: TaskTimeout = MissedDeadline(MISSED)
    else:
        late = TaskTimeout(
            f"It ran longer than its timeout of {attempt.options.timeout:g} s."
        )
    late.__cause__ = error
    return late


def log_given_away(task: TaskRow, error: BaseException) -> None:
    """Log that a run has ended whose claim is gone."""
    logger.info(
        "%s %s: this run's claim was given away (revoked, or taken for dead); its "
        "outcome is dropped: %s",
        task.name,
        task.pk,
        error,
    )
