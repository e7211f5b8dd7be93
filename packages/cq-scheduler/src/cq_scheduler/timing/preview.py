"""The slots to come of a schedule, as the clock shows them where it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from cq_scheduler import cron
from cq_scheduler.cron import daylight

if TYPE_CHECKING:
    from collections.abc import Iterator


class Coming(NamedTuple):
    """A slot to come, and what daylight saving does to it."""

    #: In UTC.
    slot: datetime
    #: In the schedule's zone.
    local: datetime
    #: By how much the clock was changed since the slot before, or since the present.
    change: timedelta
    #: The time of the clock that it makes up for, since it doesn't exist that day.
    skipped: datetime | None
    #: Whether the clock shows its time twice; `local.fold` is 1 the second time.
    twice: bool


def coming(row: Any, after: datetime) -> Iterator[Coming]:
    """Give the slots strictly after a moment, each when it is asked for.

    Without end, for most schedules. Raises CronError where there is no other in the
    calendar, or for a line or a zone that is not valid.
    """
    place = cron.zone(row.timezone)
    offset = after.astimezone(place).utcoffset()
    slot = row.next_slot(after)
    while slot is not None:
        local = slot.astimezone(place)
        before, offset = offset, local.utcoffset()
        assert before is not None
        assert offset is not None
        line = row.crontab
        skipped = cron.skipped(line, slot, row.timezone) if line else None
        twice = daylight.twice(slot, place)
        yield Coming(slot.astimezone(UTC), local, offset - before, skipped, twice)
        slot = row.next_slot(slot)
