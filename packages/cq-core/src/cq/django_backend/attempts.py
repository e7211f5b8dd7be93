"""The attempts of which a task's row does not tell any more, in Django's results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.status import SUCCEEDED, AttemptOutcome, Status

from .results import ERRORS, change, error_of

if TYPE_CHECKING:
    from cq.tables.attempt_rows import AttemptRow

    from .api import TaskError, TaskResult

#: Where the last attempt has not ended, or has succeeded: it is not in the history.
_NOT_KEPT = {Status.RUNNING, Status.SUSPENDED, *SUCCEEDED}
#: Ends of attempts that tell of an error.
_HAD_ERRORS = {AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT, AttemptOutcome.LOST}
#: Where the last attempt has had no error, or the row itself tells of it.
_NONE_OF_THE_LAST = {*_NOT_KEPT, Status.WAITING, Status.LOST}


def add_earlier(result: TaskResult[..., Any], row: Any) -> None:
    """Give a result the errors and workers of attempts that are over, the oldest first.

    And when the last one started, of which the row does not tell before the next has.
    Asks the database, where there may be any.
    """
    if row.attempts <= (row.status in _NOT_KEPT):
        return
    # What was drained has not counted, and left its number to the next one.
    found = row.history.filter(number__lte=row.attempts)
    kept = list(found.exclude(outcome=AttemptOutcome.DRAINED))[::-1]
    workers = list(result.worker_ids)
    for attempt in kept:
        if attempt.worker:
            workers[attempt.number - 1] = attempt.worker
    change(
        result,
        errors=[*_errors(row, kept), *result.errors],
        worker_ids=workers,
        last_attempted_at=row.started or _last_start(row, kept),
    )


def _errors(row: Any, kept: list[AttemptRow]) -> list[TaskError]:
    last = row.attempts
    if row.status in _NONE_OF_THE_LAST or (row.exception and row.status not in ERRORS):
        last -= 1
    return [
        error_of(
            attempt.exception or ERRORS[Status.LOST],
            attempt.traceback or attempt.error or "",
        )
        for attempt in kept
        if attempt.number <= last and attempt.outcome in _HAD_ERRORS
    ]


def _last_start(row: Any, kept: list[AttemptRow]) -> Any:
    starts = [a.started for a in kept if a.number == row.attempts and a.started]
    if row.attempts == 1:
        starts.append(row.first_started)
    return starts[-1] if starts else None
