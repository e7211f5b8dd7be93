"""Changing the row of a schedule, where it still is as it was read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from cq.errors import CQError
from cq.text import LONGEST_ERROR, storable

from . import timing
from .cron import CronError, UnknownZone
from .models import enabled

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from .misfire import Choice
    from .models import RepeatingTask

logger = logging.getLogger("cq.scheduler")


def waiting_for(schedule: RepeatingTask, slot: datetime | None) -> dict[str, Any]:
    """The columns of a schedule that comes next for a slot, or is over."""
    if slot is None:
        return {"next_run": None, "enabled": False}
    return {"next_run": slot + timing.delay(schedule)}


def moved_on(schedule: RepeatingTask, choice: Choice) -> dict[str, Any]:
    """The columns of a schedule behind the slots that it came to."""
    columns = waiting_for(schedule, choice.following)
    if choice.missed is not None:
        columns["missed_from"], columns["missed_until"] = choice.missed
    return columns


def pass_over(
    using: str, schedule: RepeatingTask, choice: Choice, error: Exception
) -> None:
    logger.warning("%s is passed over: %s", schedule, error)
    change(using, schedule, **moved_on(schedule, choice), last_error=text_of(error))


def refuse(using: str, schedule: RepeatingTask, error: CronError) -> None:
    """Note that a schedule has no slots; it is disabled, but for what may be mended.

    A zone may come back with the next tzdata, and another host may know it.
    """
    text = text_of(error)
    if schedule.next_run is None and schedule.last_error == text:
        return
    known = isinstance(error, UnknownZone)
    logger.warning("%s: %s", schedule, text)
    change(using, schedule, next_run=None, enabled=known, last_error=text)


def state_of(schedule: RepeatingTask) -> dict[str, Any]:
    """What has to be the same still for a scheduler to change the row."""
    return {name: getattr(schedule, name) for name in ("next_run", *timing.COLUMNS)}


def change(using: str, schedule: RepeatingTask, **values: Any) -> bool:
    """Change a schedule that still is as it was read; whether it was."""
    same = enabled(using).filter(pk=schedule.pk, **state_of(schedule))
    return change_free(using, same, **values)


def change_free(using: str, rows: QuerySet[RepeatingTask], **values: Any) -> bool:
    """Change rows, and whether there were any.

    One that somebody has locked is passed by: the others would have to wait as well.
    """
    with transaction.atomic(using=using, savepoint=False):
        if connections[using].features.has_select_for_update_skip_locked:
            # By itself: as a part of the UPDATE, MariaDB waits for the lock.
            free = rows.select_for_update(skip_locked=True).values_list("pk")
            if not free:
                return False
        return bool(rows.update(**values))


def text_of(error: Exception) -> str:
    ours = isinstance(error, CronError | CQError)
    text = str(error) if ours else f"{type(error).__name__}: {error}"
    return storable(text, LONGEST_ERROR)
