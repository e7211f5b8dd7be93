"""The end of a run by Suspended: its function is called again later, and nothing has failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.utils import timezone

from cq import lifecycle
from cq.db import transactions
from cq.db.conflicts import retry_on_conflict
from cq.errors import LeaseLost, Suspended
from cq.status import Status
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from cq.execution.attempt import Attempt

logger = logging.getLogger("cq.runner")


def taken(attempt: Attempt, error: BaseException) -> Suspended | None:
    """Take what a durable run was suspended by from it; None: it was not.

    error: what it has raised, which may be another one that came of it.
    """
    found, attempt.run.suspended = attempt.run.suspended, None
    if found is None and isinstance(error, Suspended):
        found = error
    if not attempt.options.durable:
        return None
    if found is not None and found is not error and isinstance(error, Exception):
        logger.warning(
            "%s %s waits, though it has raised %r behind that",
            attempt.task.name,
            attempt.task.pk,
            error,
        )
    return found


def suspend(attempt: Attempt, suspended: Suspended) -> Status | None:
    """Record that a run gives its slot back; return the status of its task.

    That is QUEUED where its worker stops or it begins anew, and None where its claim was given away.
    """
    try:
        if suspended.stops or suspended.begins:
            return _go_on_at_once(attempt, suspended.begins)
        retry_on_conflict(attempt.using, lambda: _write(attempt, suspended))
    except LeaseLost:
        return None
    # A worker has a line of its own for each run.
    logger.debug(
        "%s %s is suspended: %s",
        attempt.task.name,
        attempt.task.pk,
        suspended.why,
        extra={"task_id": str(attempt.task.pk), "attempt": attempt.task.attempts},
    )
    if (until := _until(attempt, suspended)) is not None:
        left = until - (attempt.now or timezone.now())
        doorbell.due_in(attempt.using, max(0.0, left.total_seconds()))
    return Status.SUSPENDED


def _until(attempt: Attempt, suspended: Suspended) -> datetime | None:
    """Return when it is woken at the latest: by its deadline, to be ended there."""
    if attempt.deadline is None or suspended.until is None:
        return suspended.until or attempt.deadline
    return min(suspended.until, attempt.deadline)


def look(attempt: Attempt, suspended: Suspended) -> None:
    """Look what has come meanwhile, which may have found the run RUNNING."""
    if suspended.look is None:
        return
    try:
        suspended.look()
    except DatabaseError as error:
        # The sweep looks as well.
        logger.warning("%s %s: %s", attempt.task.name, attempt.task.pk, error)


def _write(attempt: Attempt, suspended: Suspended) -> None:
    # At once: what it waits for is read first, and SQLite would then refuse to write.
    with transactions.at_once(attempt.using):
        if suspended.record is not None:
            suspended.record()
        until = _until(attempt, suspended)
        if not lifecycle.suspend(attempt.using, attempt.claim, until):
            raise LeaseLost(f"{attempt.task.name} {attempt.task.pk}")


def _go_on_at_once(attempt: Attempt, begins: Callable[[], Any] | None) -> Status | None:
    back = retry_on_conflict(attempt.using, lambda: _hand_over(attempt, begins))
    doorbell.ring(attempt.using, back)
    return Status.QUEUED if back else None


def _hand_over(
    attempt: Attempt, begins: Callable[[], Any] | None
) -> list[tuple[UUID, str]]:
    with transactions.at_once(attempt.using):
        if begins is not None:
            begun: list[tuple[UUID, str]] = begins()
            return begun
        if attempt.run.steps is not None:
            attempt.run.steps.keep_lines()
        return lifecycle.hand_over(attempt.using, attempt.claim)
