"""The times of a schedule: the slots of a cron line, of an interval, or one moment.

Its *slots* are moments that everybody computes alike, whoever looks whenever: those of
an interval are counted from an anchor, not from the last run. It *comes* at a slot, or
by its jitter later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cq import durations
from cq_scheduler import cron
from cq_scheduler.cron import CronError

from .misfire import MISFIRE_GRACE

SHORTEST_INTERVAL = timedelta(seconds=1)
#: A day.
LONGEST_JITTER_SECONDS = 86_400
#: Of every moment, so that each zone and the slot after it are in the calendar.
FIRST_YEAR, LAST_YEAR = 1000, 9000
#: Columns that say when: where one is new, so is the next slot.
COLUMNS = (
    "crontab",
    "interval",
    "anchor",
    "at",
    "timezone",
    "start_after",
    "end_after",
    "jitter",
)


@dataclass(frozen=True, slots=True)
class Every:
    """An interval, counted from `anchor`, or else from when the schedule is made."""

    interval: timedelta
    anchor: datetime | None = None

    def __post_init__(self) -> None:
        if self.interval < SHORTEST_INTERVAL or self.interval % SHORTEST_INTERVAL:
            raise CronError(
                f"interval: {self.interval} is not valid; use whole seconds, 1 at least"
            )
        _check_aware("anchor", self.anchor)


@dataclass(frozen=True, slots=True)
class At:
    """One moment."""

    moment: datetime

    def __post_init__(self) -> None:
        _check_aware("at", self.moment)


#: What stands where a cron line may: a line, ``every(...)`` or ``at(...)``.
When = str | Every | At


def every(
    *,
    weeks: int = 0,
    days: int = 0,
    hours: int = 0,
    minutes: int = 0,
    seconds: int = 0,
    anchor: datetime | None = None,
) -> Every:
    """Return an interval, to be given where a cron line may be.

    It is elapsed time: a day is 24 hours, also where daylight saving changes. anchor:
    an aware datetime to count from, the first slot if it is still to come; by default
    `start_after` or the moment at which the schedule is made. Raises CronError for less
    than a second, or a part of one, and ValueError for a naive anchor.
    """
    return Every(
        timedelta(
            weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
        ),
        anchor,
    )


def at(moment: datetime) -> At:
    """Return one moment, to be given where a cron line may be.

    moment: an aware datetime; ValueError otherwise. A schedule that is made more than a
    minute later never comes.
    """
    return At(moment)


def columns_of(when: When) -> dict[str, Any]:
    """Return the columns that hold it; raises CronError for a line that never fires.

    The anchor of an interval may be None: then the row to be has to get one.
    """
    if isinstance(when, Every):
        return {
            "crontab": "",
            "interval": when.interval,
            "anchor": when.anchor,
            "at": None,
        }
    if isinstance(when, At):
        return {"crontab": "", "interval": None, "anchor": None, "at": when.moment}
    cron.check(when)
    return {"crontab": when, "interval": None, "anchor": None, "at": None}


def check(row: Any) -> None:
    """Raise CronError for a line or a zone that is not valid, or too short an interval."""
    if row.crontab:
        cron.check(row.crontab)
    if row.interval is not None:
        Every(row.interval)
    cron.zone(row.timezone)


def check_year(moment: datetime) -> None:
    """Raise ValueError for a moment that some zone, or its next slot, has no date for."""
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(
            f"{moment:%Y-%m-%d} is too far; use a year from {FIRST_YEAR} to {LAST_YEAR}"
        )


def in_words(row: Any) -> str:
    """Return the cron line, or what stands for it."""
    if row.at is not None:
        return f"at {row.at.isoformat(sep=' ', timespec='seconds')}"
    if row.interval is not None:
        return f"every {durations.in_words(row.interval.total_seconds(), most=None)}"
    return str(row.crontab)


# Any row of the table, also a historical one, which may lack the younger columns.


def next_slot(row: Any, after: datetime) -> datetime | None:
    """Return its first slot strictly after a moment, in UTC; None: there is no other.

    Raises CronError for a line or a zone that is not valid.
    """
    start = getattr(row, "start_after", None)
    if start is not None and after < start:
        after = start - timedelta.resolution
    slot = _next(row, after)
    end = getattr(row, "end_after", None)
    return None if slot is None or (end is not None and slot > end) else slot


def first_slot(row: Any, now: datetime) -> datetime | None:
    """Return the slot that a row waits for when it is made, or timed anew."""
    if getattr(row, "at", None) is not None:
        now -= MISFIRE_GRACE  # what is this late was not missed
    return next_slot(row, now)


def delay(row: Any) -> timedelta:
    """Return how much after a slot it comes: the same each time, by its id."""
    jitter = getattr(row, "jitter", 0)
    if not jitter:
        return timedelta()
    number = int.from_bytes(sha256(str(row.pk).encode()).digest()[:8], "big")
    return timedelta(milliseconds=number % (jitter * 1000))


def _next(row: Any, after: datetime) -> datetime | None:
    moment: datetime | None = getattr(row, "at", None)
    if moment is not None:
        return moment.astimezone(UTC) if moment > after else None
    interval: timedelta | None = getattr(row, "interval", None)
    if interval is None:
        return cron.next_run(row.crontab, after, row.timezone)
    anchor: datetime = row.anchor.astimezone(UTC)
    try:
        passed = max(-1, (after - anchor) // interval)
        return anchor + (passed + 1) * interval
    except (OverflowError, ZeroDivisionError) as error:
        raise CronError(
            f"interval: {interval} from {anchor} has no slot after {after} in the "
            "calendar"
        ) from error


def _check_aware(name: str, moment: datetime | None) -> None:
    if moment is not None and moment.utcoffset() is None:
        raise ValueError(f"{name}: {moment!r} is naive; give it a time zone")
