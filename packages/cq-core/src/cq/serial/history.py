"""The history of a serial run: its attempts that did not succeed, as rows have them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

from django.utils import timezone

from cq.lifecycle.attempts import KEPT_FIRST, KEPT_LAST, this_process
from cq.status import AttemptOutcome

if TYPE_CHECKING:
    from datetime import datetime

    from cq.lifecycle import Failure


@dataclass(frozen=True, slots=True)
class SerialAttempt:
    """One attempt of a serial run."""

    number: int
    started: datetime | None
    ended: datetime
    worker: str
    outcome: str
    exception: str | None = None
    error: str | None = None
    traceback: str | None = None
    next: datetime | None = None
    by: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.number}: {self.outcome}"


#: What `history.filter()` may look at.
ATTEMPT_FIELDS = frozenset(field.name for field in fields(SerialAttempt))


class _Running(Protocol):
    attempts: int
    started: datetime | None


class SerialHistory:
    """The first and the last of a task's attempts that did not succeed, oldest first."""

    def __init__(self) -> None:
        self.attempts: list[SerialAttempt] = []

    def failed(self, task: _Running, failure: Failure) -> None:
        """Take the present attempt, whose function has raised."""
        outcome = (
            AttemptOutcome.TIMED_OUT if failure.timed_out else AttemptOutcome.FAILED
        )
        self._add(
            task,
            outcome,
            exception=failure.exception,
            error=failure.error,
            traceback=failure.traceback,
        )

    def revoked(self, task: _Running, reason: str) -> None:
        """Take the present attempt, which somebody withdraws."""
        self._add(task, AttemptOutcome.REVOKED, reason=reason)

    def _add(
        self, task: _Running, outcome: AttemptOutcome, **values: str | None
    ) -> None:
        made = SerialAttempt(
            task.attempts,
            task.started,
            timezone.now(),
            this_process(),
            outcome.value,
            **values,  # type: ignore[arg-type]  # those that are texts
        )
        self.attempts.append(made)
        del self.attempts[KEPT_FIRST:-KEPT_LAST]
