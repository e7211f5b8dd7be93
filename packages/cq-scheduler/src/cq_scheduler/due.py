"""Which schedules are due, and what each of them makes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import misfire, timing
from .calls import call_of
from .cron import CronError
from .models import RepeatingTask, enabled
from .rows import change, moved_on, pass_over, refuse, waiting_for

if TYPE_CHECKING:
    from datetime import datetime

    from cq.calls import Call

    from .misfire import Choice

logger = logging.getLogger("cq.scheduler")


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """A schedule whose time has come, as it was read, and what it makes."""

    schedule: RepeatingTask
    choice: Choice
    call: Call

    @property
    def moves_on(self) -> dict[str, Any]:
        """The columns of the schedule from now on."""
        return {**moved_on(self.schedule, self.choice), "last_error": ""}


def now_due(using: str, now: datetime, limit: int) -> list[RepeatingTask]:
    """Read schedules that are due: those that have waited longest.

    Where there are more, half of the places are for those that became due last, so that
    a backlog makes nobody late who wasn't.
    """
    due = enabled(using).filter(next_run__lte=now)
    longest = list(due.order_by("next_run", "pk")[:limit])
    if len(longest) < limit:
        return longest
    latest = list(due.order_by("-next_run", "-pk")[: limit // 2])
    known = {schedule.pk for schedule in latest}
    return (latest + [row for row in longest if row.pk not in known])[:limit]


def come_to(using: str, schedule: RepeatingTask, now: datetime) -> Due | None:
    """Find what a schedule makes; None if it cannot run, which its row then tells."""
    assert schedule.next_run is not None
    delay = timing.delay(schedule)
    slot = schedule.next_run - delay
    try:
        if schedule.end_after is not None and slot > schedule.end_after:
            change(using, schedule, next_run=None, enabled=False)
            return None
        choice = misfire.choose(schedule.misfire, schedule.next_slot, slot, now - delay)
    except CronError as error:
        refuse(using, schedule, error)
        return None
    if choice.missed is not None:
        logger.warning(
            "%s: nobody was there for its slots from %s to %s",
            schedule,
            *choice.missed,
        )
    try:
        call = call_of(schedule)
    except Exception as error:
        pass_over(using, schedule, choice, error)
        return None
    return Due(schedule, choice, call)


def unknown(using: str, limit: int) -> list[RepeatingTask]:
    """Schedules that wait for no slot yet; those that never could come last."""
    unknown = enabled(using).filter(next_run__isnull=True)
    return list(unknown.order_by("last_error", "pk")[:limit])


def find_next(using: str, schedule: RepeatingTask, now: datetime) -> None:
    try:
        slot = timing.first_slot(schedule, now)
    except CronError as error:
        refuse(using, schedule, error)
    else:
        change(using, schedule, **waiting_for(schedule, slot), last_error="")
