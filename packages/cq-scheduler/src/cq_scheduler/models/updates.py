"""Guarded updates of a schedule's row: only where it still is as it was read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from cq.errors import CQError
from cq.text import LONGEST_ERROR, storable
from cq_scheduler.cron import CronError, UnknownZone
from cq_scheduler.timing import when

from .repeating_task import enabled

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from cq_scheduler.timing.misfire import Choice

    from .repeating_task import RepeatingTask

logger = logging.getLogger("cq.scheduler")


def slot_columns(schedule: RepeatingTask, slot: datetime | None) -> dict[str, Any]:
    """Return the columns of a schedule that comes next for a slot; None: it is over."""
    if slot is None:
        return {"next_run": None, "enabled": False}
    return {"next_run": slot + when.delay(schedule)}


def next_columns(schedule: RepeatingTask, choice: Choice) -> dict[str, Any]:
    """Return the columns of a schedule behind the slots that it came to."""
    columns = slot_columns(schedule, choice.following)
    if choice.missed is not None:
        columns["missed_from"], columns["missed_until"] = choice.missed
    return columns


def skip_slot(
    using: str, schedule: RepeatingTask, choice: Choice, error: Exception
) -> None:
    """Go on behind the slots that nothing could be made for, with the error noted."""
    logger.warning("%s is passed over: %s", schedule, error)
    update_unchanged(
        using, schedule, **next_columns(schedule, choice), last_error=error_text(error)
    )


def record_error(using: str, schedule: RepeatingTask, error: CronError) -> None:
    """Record why a schedule has no slots; it is disabled, but for what may be mended.

    A zone may come back with the next tzdata, and another host may know it.
    """
    text = error_text(error)
    if schedule.next_run is None and schedule.last_error == text:
        return
    known = isinstance(error, UnknownZone)
    logger.warning("%s: %s", schedule, text)
    update_unchanged(using, schedule, next_run=None, enabled=known, last_error=text)


def guard_columns(schedule: RepeatingTask) -> dict[str, Any]:
    """Return what has to be the same still for a scheduler to change the row."""
    return {name: getattr(schedule, name) for name in ("next_run", *when.COLUMNS)}


def update_unchanged(using: str, schedule: RepeatingTask, **values: Any) -> bool:
    """Update a schedule if it still is as it was read; return whether it was."""
    same = enabled(using).filter(pk=schedule.pk, **guard_columns(schedule))
    return update_unlocked(using, same, **values)


def update_unlocked(using: str, rows: QuerySet[RepeatingTask], **values: Any) -> bool:
    """Update those of the rows that are not locked; return whether there were any.

    One that somebody has locked is passed by: the others would have to wait as well.
    """
    with transaction.atomic(using=using, savepoint=False):
        if connections[using].features.has_select_for_update_skip_locked:
            # A query of its own: as a part of the UPDATE, MariaDB waits for the lock.
            free = rows.select_for_update(skip_locked=True).values_list("pk")
            if not free:
                return False
        return bool(rows.update(**values))


def error_text(error: Exception) -> str:
    """Return the text for `last_error`: with the class, unless the error is one of cq."""
    ours = isinstance(error, CronError | CQError)
    text = str(error) if ours else f"{type(error).__name__}: {error}"
    return storable(text, LONGEST_ERROR)
