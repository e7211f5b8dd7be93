"""The replacement of a call that waits by a newer one, as `cq.enqueue.debounce` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import F

from cq.status import Status
from cq.tables.queries import tasks

from .guards import in_source_status

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: In `options`, the seconds that its calls are debounced by.
DEBOUNCE = "debounce"


def replace(
    using: str, task_id: UUID, values: dict[str, Any], start: datetime | None
) -> bool:
    """PENDING and QUEUED, of what has not begun, to PENDING until `start`, as another call.

    values: its columns. start: None where it stays as it is, and so starts as soon as it
    would. Returns whether it won.
    """
    # A durable one that woke, or goes on elsewhere, has begun and counts no attempt.
    waiting = in_source_status("replace", using).filter(
        pk=task_id, attempts=0, started=None, first_started=None
    )
    # It may be in another lane now, which has no row yet. Who has looked at it as one of
    # its old lane is told by the fence: it would start under limits that are not its own.
    values = {**values, "listed": None, "fence": F("fence") + 1}
    if start is not None:
        values = {**values, "status": Status.PENDING, "run_after": start}
    return bool(waiting.update(**values))


def end_spans(using: str) -> None:
    """Let what is debounced wait no longer for its time: for who runs all there is."""
    waiting = tasks(using).filter(status=Status.PENDING, run_after__isnull=False)
    waiting.filter(options__has_key=DEBOUNCE).update(run_after=None)
