"""Schedules that are due, and what each of them makes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cq_scheduler.cron import CronError
from cq_scheduler.models import RepeatingTask, enabled
from cq_scheduler.models.task_call import call_of
from cq_scheduler.models.updates import (
    next_columns,
    record_error,
    skip_slot,
    slot_columns,
    update_unchanged,
)
from cq_scheduler.timing import misfire, when

if TYPE_CHECKING:
    from datetime import datetime

    from cq.definitions.signatures import Call
    from cq_scheduler.timing.misfire import Choice

logger = logging.getLogger("cq.scheduler")


@dataclass(frozen=True, slots=True, eq=False)
class DueSchedule:
    """A schedule whose time has come, as it was read, and what it makes."""

    schedule: RepeatingTask
    choice: Choice
    call: Call

    @property
    def next_columns(self) -> dict[str, Any]:
        """The columns of the schedule behind its slots."""
        return {**next_columns(self.schedule, self.choice), "last_error": ""}


def due_schedules(using: str, now: datetime, limit: int) -> list[RepeatingTask]:
    """Return schedules that are due, at most `limit`: those that have waited longest.

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


def evaluate(using: str, schedule: RepeatingTask, now: datetime) -> DueSchedule | None:
    """Return what a schedule makes; None if it cannot run, which its row then tells."""
    assert schedule.next_run is not None
    delay = when.delay(schedule)
    slot = schedule.next_run - delay
    try:
        if schedule.end_after is not None and slot > schedule.end_after:
            update_unchanged(using, schedule, next_run=None, enabled=False)
            return None
        choice = misfire.choose(schedule.misfire, schedule.next_slot, slot, now - delay)
    except CronError as error:
        record_error(using, schedule, error)
        return None
    if choice.missed is not None:
        first, last = choice.missed
        if first == last:
            logger.warning("%s: nobody was there for its slot of %s", schedule, first)
        else:
            logger.warning(
                "%s: nobody was there for its slots from %s to %s",
                schedule,
                first,
                last,
            )
    try:
        call = call_of(schedule)
    except Exception as error:
        skip_slot(using, schedule, choice, error)
        return None
    return DueSchedule(schedule, choice, call)


def without_next_run(using: str, limit: int) -> list[RepeatingTask]:
    """Return schedules that wait for no slot yet; those that never could come last."""
    without_next_run = enabled(using).filter(next_run__isnull=True)
    return list(without_next_run.order_by("last_error", "pk")[:limit])


def set_next_run(using: str, schedule: RepeatingTask, now: datetime) -> None:
    """Let a schedule wait for its first slot, or record why it has none."""
    try:
        slot = when.first_slot(schedule, now)
    except CronError as error:
        record_error(using, schedule, error)
    else:
        update_unchanged(using, schedule, **slot_columns(schedule, slot), last_error="")
