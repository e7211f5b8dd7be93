"""Cron lines: what they mean, and when they fire.

A line is read here, so that nothing is expanded before it is known to be small and to
mean what Debian's cron takes it to mean; croniter then does the arithmetic of the wall
clock on plain numbers, and ``daylight`` turns its times into moments.

Five fields (minute, hour, day of month, month, day of week) or an alias. Each field is
a list of ``*``, values, ranges, and steps of those; names of months and days; 7 is
Sunday too. Beyond Debian, as croniter has them: ``L`` the last day of the month, ``LW``
its last weekday (Monday to Friday), ``15W`` the weekday nearest to the 15th, ``FRI#2``
the second Friday, ``L5`` the last one. If the day of month or the day of week begins
with ``*``, a day has to match both; else one is enough.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from . import daylight
from .fields import FIELDS, CronError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LENGTH = 256
#: No year begins on the same day of the week, leap or not, more than 40 years after
#: the last that did: no slot in 50 years means never.
MAX_YEARS = 50
#: These 28 have all fourteen kinds of years, so that a line fires in them or never.
EPOCH = datetime(2000, 1, 1)
EPOCH_YEARS = 28

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class UnknownZone(CronError):
    """The refusal of a time zone that is not there."""


def next_run(crontab: str, after: datetime, timezone: str | ZoneInfo) -> datetime:
    """Return the first moment strictly after ``after`` at which the line fires, in UTC."""
    return next(_runs(crontab, after, timezone))


def upcoming(
    crontab: str, after: datetime, timezone: str | ZoneInfo, n: int
) -> list[datetime]:
    """Return the first ``n`` moments strictly after ``after``, in UTC."""
    runs = _runs(crontab, after, timezone)
    return [next(runs) for _ in range(n)]


def skipped(crontab: str, slot: datetime, timezone: str | ZoneInfo) -> datetime | None:
    """Return the time (naive) that a slot makes up for, since it doesn't exist."""
    line = _parse(crontab)
    return daylight.skipped(line.wall, slot, zone(timezone)) if line.fixed else None


def check(crontab: str) -> None:
    """Raise CronError unless this is a line that fires."""
    _parse(crontab)


def zone(name: str | ZoneInfo) -> tzinfo:
    """Return the zone of that name by this system's tzdata; raises UnknownZone."""
    if not isinstance(name, str):
        return name
    try:
        return ZoneInfo(name)
    # KeyError: it is missing. The others: it is a folder or a path, or no path can be it.
    except (KeyError, ValueError, OSError) as error:
        raise UnknownZone(f"time zone: there is no {name[:100]!r} here") from error


def _runs(
    crontab: str, after: datetime, timezone: str | ZoneInfo
) -> Iterator[datetime]:
    line, place = _parse(crontab), zone(timezone)
    if after.utcoffset() is None:
        raise ValueError(f"after: {after!r} is naive; give it a time zone")
    while True:
        try:
            after = daylight.next_moment(line.wall, after, place, fixed=line.fixed)
        except daylight.AlwaysSkipped as error:
            raise CronError(
                f"hour: {crontab!r} never fires in {timezone}, where the clock skips each"
                " of its times; begin neither minute nor hour with a *"
            ) from error
        # Years 1 to 9999 are all that datetime has.
        except (ValueError, OverflowError) as error:
            raise CronError(
                f"crontab: no slot after {after} in the calendar"
            ) from error
        yield after


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that fires, as croniter takes it."""

    #: One; or two, one for each day field, where a match of one of them is enough.
    parts: tuple[croniter, ...]
    fixed: bool

    def wall(self, time: datetime) -> datetime:
        return min(_search(part, time) for part in self.parts)


@lru_cache(maxsize=1024)
def _parse(crontab: str) -> _Line:
    texts = split(crontab)
    minute, hour, day, month, weekday = (
        field.read(text) for field, text in zip(FIELDS, texts, strict=True)
    )
    if both_days(texts):
        lines = [f"{minute} {hour} {day} {month} {weekday}"]
    else:
        lines = [
            f"{minute} {hour} {day} {month} *",
            f"{minute} {hour} * {month} {weekday}",
        ]
    # A side that never fires would cost a search through all the years each time.
    parts = tuple(_croniter(line, MAX_YEARS) for line in lines if _fires(line))
    if not parts:
        raise CronError(
            f"day of month: {texts[2]!r} never comes in month {texts[3]!r}"
            f" with day of week {texts[4]!r}"
        )
    return _Line(parts, fixed=not any(text.startswith("*") for text in texts[:2]))


#: What no field of any tool holds: a path, an option, or a word longer than a day's name.
_COMMAND = re.compile(r"^[/.~-]|[A-Z_]{4}")


def split(crontab: str) -> list[str]:
    """Return the five fields, in capitals; raises CronError where there are others."""
    if not isinstance(crontab, str):
        raise CronError(f"crontab: not a string but {type(crontab).__name__}")
    if len(crontab) > MAX_LENGTH:
        raise CronError(
            f"crontab: {len(crontab)} characters are too many; use {MAX_LENGTH} at most"
        )
    if not crontab.isascii():
        raise CronError(f"crontab: {crontab!r} has characters that are not ASCII")
    line = crontab.strip(" \t\r\n")
    if line.startswith("@"):
        return _alias(line).split()
    texts = re.split("[ \t]+", line.upper()) if line else []
    if texts and (zone := re.fullmatch(r"(?:CRON_)?TZ=(.*)", line.split()[0], re.I)):
        raise CronError(
            f"crontab: {line.split()[0]!r} is no field; leave it out, and give the time"
            f" zone apart: timezone={zone[1]!r}"
        )
    if len(texts) > len(FIELDS) and _COMMAND.search(texts[5]):
        raise CronError(
            f"crontab: {line.split()[5]!r} looks like a command; the task is what runs:"
            " leave out all behind the five fields"
        )
    if len(texts) in (6, 7):
        raise CronError(
            f"crontab: {len(texts)} fields, and tools differ on which holds the seconds"
            " or the year; use five: minute hour day-of-month month day-of-week"
        )
    if len(texts) != len(FIELDS):
        raise CronError(
            f"crontab: {len(texts)} fields;"
            " use five: minute hour day-of-month month day-of-week"
        )
    return texts


def both_days(texts: list[str]) -> bool:
    """Tell whether a day has to match both of its fields; else one is enough."""
    return texts[2].startswith("*") or texts[4].startswith("*")


def _alias(line: str) -> str:
    alias = line.lower()
    if alias == "@reboot":
        raise CronError("crontab: '@reboot' names no time, and schedulers come and go")
    if alias not in ALIASES:
        raise CronError(f"crontab: {line!r} is not known; use {', '.join(ALIASES)}")
    return ALIASES[alias]


def _croniter(line: str, years: int) -> croniter:
    return croniter(line, EPOCH, day_or=False, max_years_between_matches=years)


def _fires(line: str) -> bool:
    try:
        _croniter(line, EPOCH_YEARS).get_next()
    except CroniterBadDateError:
        return False
    return True


def _search(part: croniter, time: datetime) -> datetime:
    # Searching changes a croniter, and threads share those of the cached lines.
    found: datetime = copy.copy(part).get_next(datetime, start_time=time)
    return found
