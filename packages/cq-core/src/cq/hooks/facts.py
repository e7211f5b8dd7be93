"""The facts of a run that a middleware is given, of a row and of a serial run alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from cq.definitions.tags import tags_of
from cq.tables import readiness
from cq.tables.values import release_of

from .context import context_of

if TYPE_CHECKING:
    from datetime import datetime, timedelta


class RunFacts:
    """What `run` has beside the columns."""

    attempts: int
    options: Any

    @property
    def task(self) -> Self:
        """Itself: a run is its task, which is its row."""
        return self

    @property
    def attempt(self) -> int:
        """The number of the attempt that runs, or was the last; 0 before the first."""
        return self.attempts

    @property
    def ready_at(self) -> datetime | None:
        """Since when it could start the last time, or can; None where it never could.

        That is when it was called; its time came; what it waited for had settled; it was
        queued for another attempt, by hand too; or its worker's death was seen.
        """
        return readiness.ready_at(self)

    def waited(self, now: datetime | None = None) -> timedelta | None:
        """Return how long its latest attempt had to wait, from `ready_at` to its start.

        None where it has not started since. now: of a task that is queued, how long it
        has waited by then.
        """
        return readiness.waited(self, now)

    @property
    def context(self) -> dict[str, Any]:
        """What was captured where it was called, by the names of the carriers."""
        return context_of(self.options)

    @property
    def tags(self) -> tuple[str, ...]:
        """What it is found by: the tags of its parent, then its own."""
        return tags_of(self.options)

    @property
    def release(self) -> str | None:
        """The release of the process that recorded it, if that had a ``CQ_RELEASE``."""
        return release_of(self.options)
