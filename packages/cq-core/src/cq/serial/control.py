"""The control of a serial run, as one has it of a row: waiting, revoking, retrying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import sync_to_async

from cq.errors import (
    NotFinished,
    NotRetryable,
    OutOfTime,
    Revoked,
    TaskFailed,
    WaitError,
    seconds_from,
)
from cq.status import FINAL, RETRYABLE, SUCCEEDED, Status
from cq.workflow.revocation import REVOKED

from .durable.handle import SerialSteps

if TYPE_CHECKING:
    from datetime import timedelta


class SerialControl(SerialSteps):
    """A serial run as others hold it."""

    # --- waiting ----------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Self:
        """Return it, since it has run; raises WaitError where it never could have."""
        if self.status not in FINAL:
            raise WaitError(
                f"{self.name} {self.id} is {self.status}, and goes on in this very "
                "thread; return instead"
            )
        return self

    async def await_(self, timeout: float | None = None) -> Self:
        return self.wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """Return the result; raises TaskFailed when it did not succeed, WaitError."""
        if self.wait(timeout).status not in SUCCEEDED:
            raise TaskFailed(self)
        return self.result

    async def aget(self, timeout: float | None = None) -> Any:
        # The result may have to be read from the database: a model's instance, say.
        return await sync_to_async(self.get)(timeout)

    @property
    def done(self) -> bool:
        return self.status in FINAL

    def back_off(self, seconds: float | timedelta, limit: str | None = None) -> None:
        """Check what was given, and no more: serial runs keep no limits."""
        seconds_from("back_off", seconds)

    async def aback_off(
        self, seconds: float | timedelta, limit: str | None = None
    ) -> None:
        self.back_off(seconds, limit)

    @property
    def stopping(self) -> bool:
        """False: no worker runs it."""
        return False

    def refresh_from_db(
        self, using: str | None = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        """Do nothing: there is no row, and it is always as it stands."""

    async def arefresh_from_db(
        self, using: str | None = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        """As `refresh_from_db`."""

    # --- by hand ----------------------------------------------------------------------

    def revoke(self, reason: str = REVOKED, *, compensate: bool = True) -> bool:
        """Withdraw it and what is open below it; False when it had settled.

        compensate: whether durable ones take back what they did.
        """
        if self.status in FINAL:
            return False
        below = [task for task in self.below() if task.status not in FINAL]
        for task, why in (
            (self, reason),
            *((task, f"Task {self.id} was revoked.") for task in below),
        ):
            if task.status not in FINAL:
                if not compensate:
                    task.undos = []
                if task.status == Status.RUNNING:
                    task.kept_history.revoked(task, why)
                task.fence += 1
                task.settle(Status.REVOKED, why)
        return True

    async def arevoke(self, reason: str = REVOKED, *, compensate: bool = True) -> bool:
        return await sync_to_async(self.revoke)(reason, compensate=compensate)

    def retry(self, *, failed: bool = False, from_step: str | None = None) -> Self:
        """Raise NotFinished or NotRetryable: there is no row that could run again."""
        if self.status not in RETRYABLE:
            raise NotFinished(
                f"{self.name} {self.id} is {self.status}; only a finished task can be "
                "retried"
            )
        raise NotRetryable(
            f"{self.name} {self.id} ran serially and has no row to run again; call the "
            "task again"
        )

    async def aretry(
        self, *, failed: bool = False, from_step: str | None = None
    ) -> Self:
        return self.retry(failed=failed, from_step=from_step)

    def why(self) -> str:
        """Return in a sentence what it does: nothing keeps a serial run from running."""
        if self.status in FINAL:
            return f"{self.name} {self.id} has ended, it is {self.status}."
        return (
            f"{self.name} {self.id} is {self.status}, and goes on in this very thread."
        )

    async def awhy(self) -> str:
        return self.why()

    def check_claim(self) -> None:
        """Raise Revoked if this run was revoked, OutOfTime if its `timeout` is over."""
        if self.attempts and self.status == Status.REVOKED:
            raise Revoked(f"{self.name} {self.id} was revoked while it ran")
        if self.is_overdue():
            raise OutOfTime(f"{self.name} {self.id} is out of time")

    def check(self) -> None:
        """As `check_claim`."""
        self.check_claim()
