"""Pausing a schedule, with a reason, by whom and until when, and resuming it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cq.clock import database_now
from cq.conf import conf
from cq.text import LONGEST_ERROR, storable

from . import timing
from .cron import CronError
from .models import NO_SLOT, schedules
from .rows import change_free, text_of, waiting_for
from .state import LONGEST_WHO, UNPAUSED

if TYPE_CHECKING:
    from datetime import datetime

    from .models import RepeatingTask

#: Who paused a schedule whose ``@repeat`` is not in the code any more.
SYNC = "cqscheduler sync"


def pause(
    schedule: RepeatingTask,
    reason: str = "",
    by: str = "",
    until: datetime | None = None,
) -> bool:
    """Let a schedule make no more tasks; whether it made some until now.

    reason, by: texts for people. until: an aware datetime at which it is resumed; by
    default somebody has to. Runs that have been made go on. One that is paused keeps
    the reason it has. Raises ValueError for a moment that is naive, or over.
    """
    using = schedule._state.db or conf.DATABASE
    if until is not None:
        _check_ahead(until, database_now(using))
    running = schedules(using).filter(pk=schedule.pk, enabled=True)
    paused = running.update(
        enabled=False,
        next_run=None,
        paused_at=database_now(using),
        paused_by=storable(by, LONGEST_WHO),
        pause_reason=storable(reason, LONGEST_ERROR),
        paused_until=until,
    )
    schedule.refresh_from_db(using)
    return bool(paused)


def resume(schedule: RepeatingTask) -> bool:
    """Let it make tasks again, from its next slot on; whether it was paused.

    What came meanwhile was not missed. Raises CronError when its line or its zone is
    not valid; one that has no slot to come stays as it is.
    """
    using = schedule._state.db or conf.DATABASE
    schedule.refresh_from_db(using)
    if schedule.enabled:
        return False
    schedule.enabled = True
    schedule.save(using=using, update_fields=["enabled"])
    return schedule.enabled


def resume_due(using: str, now: datetime, limit: int) -> None:
    """Resume those whose pause has an end that has come, at most `limit` of them.

    Each goes on with its first slot from that end on, however late it is looked at.
    """
    over = schedules(using).filter(enabled__in=[False], paused_until__lte=now)
    for row in over.order_by("paused_until", "pk")[:limit]:
        same = over.filter(pk=row.pk, paused_until=row.paused_until)
        change_free(using, same, **_resumed(row))


def _resumed(row: RepeatingTask) -> dict[str, Any]:
    assert row.paused_until is not None
    try:
        slot = timing.next_slot(row, row.paused_until - timedelta.resolution)
    except CronError as error:
        return {"paused_until": None, "last_error": text_of(error)}
    if slot is None:
        return {**UNPAUSED, "last_error": NO_SLOT}
    return {**UNPAUSED, **waiting_for(row, slot), "enabled": True, "last_error": ""}


def _check_ahead(until: datetime, now: datetime) -> None:
    if until.utcoffset() is None:
        raise ValueError(f"until: {until!r} is naive; give it a time zone")
    if until <= now:
        raise ValueError(f"until: {until} is over; give a moment that is to come")
