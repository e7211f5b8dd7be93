"""Pausing a schedule, with a reason and by whom, and resuming it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.clock import database_now
from cq.conf import conf
from cq.text import LONGEST_ERROR, storable

from .models import LONGEST_WHO, schedules

if TYPE_CHECKING:
    from .models import RepeatingTask

#: Who paused a schedule whose ``@repeat`` is not in the code any more.
SYNC = "cqscheduler sync"


def pause(schedule: RepeatingTask, reason: str = "", by: str = "") -> bool:
    """Let a schedule make no more tasks; whether it made some until now.

    reason, by: texts for people. Runs that have been made go on. One that is paused
    keeps the reason it has.
    """
    using = schedule._state.db or conf.DATABASE
    running = schedules(using).filter(pk=schedule.pk, enabled=True)
    paused = running.update(
        enabled=False,
        next_run=None,
        paused_at=database_now(using),
        paused_by=storable(by, LONGEST_WHO),
        pause_reason=storable(reason, LONGEST_ERROR),
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
