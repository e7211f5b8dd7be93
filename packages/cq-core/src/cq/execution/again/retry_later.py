"""The end of a run by RetryLater: another attempt, and no failure."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction

from cq import lifecycle
from cq.db.conflicts import retry_on_conflict
from cq.errors import RetryLater
from cq.execution.undone import record_errorbacks
from cq.lifecycle import rules
from cq.runs.failures import describe
from cq.runs.run import tell_failed
from cq.status import Status
from cq.workflow import advance, compensation, revocation

if TYPE_CHECKING:
    from uuid import UUID

    from cq.execution.attempt import Attempt
    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.runner")


def unless_too_often(attempt: Attempt, error: BaseException) -> BaseException:
    """Return an error, or GiveUp in the place of one RetryLater too many."""
    if isinstance(error, RetryLater) and _in_a_row(attempt.task) > rules.MOST_IN_A_ROW:
        return rules.too_often(error)
    return error


def put_off(attempt: Attempt, error: RetryLater) -> Status | None:
    """Record that the function is to be called again; return the status of the task.

    That is None when its claim was given away.
    """
    status, abandoned = retry_on_conflict(attempt.using, lambda: _write(attempt, error))
    advance.after_settled(attempt.using, abandoned, attempt.now)
    if status is None:
        return None
    task, expired = attempt.task, status == Status.EXPIRED
    logger.info(
        "%s %s is %s%s",
        task.name,
        task.pk,
        error,
        ", but expires before" if expired else "",
        extra={"task_id": str(task.pk), "attempt": task.attempts},
    )
    if expired and attempt.run.on_failure:
        tell_failed(attempt.run, error, describe(error))
    return status


def _write(attempt: Attempt, error: RetryLater) -> tuple[Status | None, list[UUID]]:
    """Write the new status; return it, and the subtasks that are given up with the run."""
    task = attempt.task
    options = {rules.PUT_OFF: [_in_a_row(task), task.attempts]}
    with transaction.atomic(using=attempt.using):
        status = lifecycle.retry_later(
            attempt.using,
            attempt.claim,
            error.seconds,
            options,
            attempt.now,
            keeps_children=attempt.options.durable,
        )
        if status is None:
            return None, []
        if attempt.run.steps is not None:
            attempt.run.steps.end_run(error)
        if status == Status.EXPIRED and attempt.options.durable:
            reason = f"Task {task.pk} has expired."
            abandoned = revocation.abandon_children(
                attempt.using, task.pk, reason, attempt.now
            )
            compensation.begin(attempt.using, [task.pk])
            return status, abandoned
        if attempt.abandons:
            reason = "The attempt that made it is done again later."
            return status, revocation.abandon_children(
                attempt.using, task.pk, reason, attempt.now
            )
        # What an atomic run made is undone with it.
        if status == Status.EXPIRED and attempt.atomic:
            record_errorbacks(attempt)
    return status, []


def _in_a_row(task: TaskRow) -> int:
    """Return how often it was raised in a row, this time included."""
    return rules.put_off_before(task.options, task.attempts) + 1
