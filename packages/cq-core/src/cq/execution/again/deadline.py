"""The end of a run at the deadline of its task, which is for all of it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.db import transaction

from cq import lifecycle
from cq.db.conflicts import retry_on_conflict
from cq.runs.failures import describe
from cq.runs.run import tell_failed
from cq.status import Status
from cq.workflow import advance, compensation, revocation

if TYPE_CHECKING:
    from uuid import UUID

    from cq.execution.attempt import Attempt

logger = logging.getLogger("cq.runner")


def before(attempt: Attempt, delay: float) -> float:
    """Return the seconds until a next attempt, which is not later than the deadline."""
    if attempt.deadline is None:
        return delay
    run, now = attempt.run, attempt.now or attempt.task.started
    assert now is not None
    left = (attempt.deadline - now).total_seconds() + run.began - time.monotonic()
    return max(0.0, min(delay, left))


def miss(attempt: Attempt, error: BaseException) -> Status | None:
    """Record that a task was not done by its deadline; None where its claim is gone.

    What is open below it is revoked.
    """
    revoked = retry_on_conflict(attempt.using, lambda: _write(attempt))
    if revoked is None:
        return None
    advance.after_settled(attempt.using, revoked, attempt.now)
    task = attempt.task
    logger.warning(
        "%s %s has expired: %s",
        task.name,
        task.pk,
        error,
        extra={"task_id": str(task.pk), "attempt": task.attempts},
    )
    if attempt.run.on_failure:
        tell_failed(attempt.run, error, describe(error))
    return Status.EXPIRED


def _write(attempt: Attempt) -> list[UUID] | None:
    using, task = attempt.using, attempt.task
    with transaction.atomic(using=using):
        if not lifecycle.miss(using, attempt.claim, attempt.now):
            return None
        reason = f"Task {task.pk} was not done by its deadline."
        revoked = revocation.abandon_children(using, task.pk, reason, attempt.now)
        if attempt.options.durable:
            compensation.begin(using, [task.pk])
        return revoked
