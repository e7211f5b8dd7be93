"""The next attempt of a task whose run has failed: whether there is one, and when."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from cq.conf import conf
from cq.db import timeouts
from cq.definitions.backoff import delay_before, wants_retry
from cq.errors import GiveUp, StepMismatch, UnknownTask
from cq.execution import own_loop

from . import grace
from .deadline import before

if TYPE_CHECKING:
    from cq.execution.attempt import Attempt

logger = logging.getLogger("cq.runner")


class NextAttempt(NamedTuple):
    """The seconds until the next attempt, and whether that is of the grace."""

    delay: float
    misfit: bool


def next_attempt(attempt: Attempt, error: BaseException) -> NextAttempt | None:
    """Return when the next attempt is to be; None when there is none."""
    if isinstance(error, GiveUp):
        return None
    delay = _of_grace(attempt, error)
    if delay is not None:
        return NextAttempt(delay, True)
    if isinstance(error, StepMismatch):
        return None
    delay = _of_retries(attempt, error)
    return None if delay is None else NextAttempt(before(attempt, delay), False)


def advice(attempt: Attempt, error: BaseException) -> str:
    """Return what to say about an error behind its own text; "" for nothing."""
    is_tried = _of_grace(attempt, error) is not None
    again = f"It is tried again for CQ_UNKNOWN_GRACE ({conf.UNKNOWN_GRACE:g} s)."
    if isinstance(error, StepMismatch) and is_tried:
        return f"Workers of another release live, which may have begun it. {again}"
    if not _is_misfit(attempt, error):
        return own_loop.advice(attempt, error) or timeouts.advice(attempt.using, error)
    text = (
        "No line of the task ran: what is stored does not fit the code of this process, "
        "which may be of another release."
    )
    return f"{text} {again}" if is_tried else text


def _of_grace(attempt: Attempt, error: BaseException) -> float | None:
    # A deploy may be under way, and this process the old one or the new.
    unknown = isinstance(error, UnknownTask) and attempt.definition is None
    is_other = isinstance(error, StepMismatch) and grace.is_deployed(attempt.using)
    if unknown or is_other or _is_misfit(attempt, error):
        return grace.seconds_until_next_try(attempt.task)
    return None


def _is_misfit(attempt: Attempt, error: BaseException) -> bool:
    # Each CodecError is a TypeError. What interrupts a run meanwhile is none.
    return attempt.misfit and isinstance(error, TypeError)


def _of_retries(attempt: Attempt, error: BaseException) -> float | None:
    failures = grace.failures_of_its_own(attempt.task)
    if attempt.definition is None or failures >= attempt.options.retries:
        return None
    if not isinstance(error, Exception):
        return None
    try:
        if wants_retry(error, attempt.options.retry_on):
            return delay_before(failures + 1, attempt.options.backoff, error)
    except Exception:
        logger.exception("retry_on or backoff of %s raised", attempt.task.name)
    return None
