"""What an atomic run has done to tasks, itself included, and lost: done once more behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.enqueue import After, Place, record
from cq.workflow import revocation

if TYPE_CHECKING:
    from .attempt import Attempt


def revoke_again(attempt: Attempt) -> None:
    """Revoke what a run revoked, itself included, in what is undone by now."""
    run = attempt.run
    for task_id, reason, compensate in run.revocations or ():
        run.revoked = True
        revocation.revoke(
            attempt.using, task_id, reason, attempt.now, compensate=compensate
        )


def record_errorbacks(attempt: Attempt) -> None:
    """Record what a run has chained to itself for its failure."""
    task = attempt.task
    for call, when, context in attempt.run.errorbacks or ():
        after = [After(task, when)]
        record(attempt.using, call, Place.beside(task), after, context=context)
