"""Pauses whose end has come: their schedules go on by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cq_scheduler.cron import CronError
from cq_scheduler.models import NO_SLOT, schedules
from cq_scheduler.models.updates import error_text, slot_columns, update_unlocked
from cq_scheduler.timing import when
from cq_scheduler.timing.columns import UNPAUSED

if TYPE_CHECKING:
    from datetime import datetime

    from cq_scheduler.models import RepeatingTask


def resume_due(using: str, now: datetime, limit: int) -> None:
    """Resume those whose pause has an end that has come, at most `limit` of them.

    Each goes on with its first slot from that end on, however late it is looked at.
    """
    over = schedules(using).filter(enabled__in=[False], paused_until__lte=now)
    for row in over.order_by("paused_until", "pk")[:limit]:
        same = over.filter(pk=row.pk, paused_until=row.paused_until)
        update_unlocked(using, same, **_resumed(row))


def _resumed(row: RepeatingTask) -> dict[str, Any]:
    assert row.paused_until is not None
    try:
        slot = when.next_slot(row, row.paused_until - timedelta.resolution)
    except CronError as error:
        return {"paused_until": None, "last_error": error_text(error)}
    if slot is None:
        return {**UNPAUSED, "last_error": NO_SLOT}
    return {**UNPAUSED, **slot_columns(row, slot), "enabled": True, "last_error": ""}
