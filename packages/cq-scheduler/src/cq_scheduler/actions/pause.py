"""The pause of a schedule, with a reason, by whom and until when; and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.conf import conf
from cq.db.clock import database_now
from cq.text import LONGEST_ERROR, storable
from cq_scheduler.timing.columns import LONGEST_PAUSED_BY
from cq_scheduler.timing.when import check_year

if TYPE_CHECKING:
    from datetime import datetime

    from cq_scheduler.models import RepeatingTask

#: Who paused a schedule whose ``@repeat`` is not in the code any more.
PAUSED_BY_SYNC = "cqscheduler sync"

# A module may import these functions before the apps are ready, when no model can be
# loaded yet: so they reach the table by the class of the row that they are given.


def pause(
    schedule: RepeatingTask,
    reason: str = "",
    by: str = "",
    until: datetime | None = None,
) -> bool:
    """Let a schedule make no more tasks; return whether it made some until now.

    reason, by: texts for people. until: an aware datetime at which it is resumed; by
    default somebody has to. Runs that have been made go on. One that is paused keeps
    the reason it has. Raises ValueError for a moment that is naive, over, or beyond the year 9000.
    """
    using = schedule._state.db or conf.DATABASE
    if until is not None:
        _check_ahead(until, database_now(using))
    rows = type(schedule)._base_manager.using(using)
    paused = rows.filter(pk=schedule.pk, enabled=True).update(
        enabled=False,
        next_run=None,
        paused_at=database_now(using),
        paused_by=storable(by, LONGEST_PAUSED_BY),
        pause_reason=storable(reason, LONGEST_ERROR),
        paused_until=until,
    )
    schedule.refresh_from_db(using)
    return bool(paused)


def resume(schedule: RepeatingTask) -> bool:
    """Let it make tasks again, from its next slot on; return whether it was paused.

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


def _check_ahead(until: datetime, now: datetime) -> None:
    if until.utcoffset() is None:
        raise ValueError(f"until: {until!r} is naive; give it a time zone")
    check_year(until)
    if until <= now:
        raise ValueError(f"until: {until} is over; give a moment that is to come")
