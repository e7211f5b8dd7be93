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

from cq_scheduler import daylight

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


class CronError(ValueError):
    """The line, or its zone, is refused; the message names the field and the reason."""


class UnknownZone(CronError):
    """There is no such time zone here."""


def next_run(crontab: str, after: datetime, timezone: str | ZoneInfo) -> datetime:
    """The first moment strictly after ``after`` at which the line fires, in UTC."""
    return next(_runs(crontab, after, timezone))


def upcoming(
    crontab: str, after: datetime, timezone: str | ZoneInfo, n: int
) -> list[datetime]:
    """The first ``n`` moments strictly after ``after``, in UTC."""
    runs = _runs(crontab, after, timezone)
    return [next(runs) for _ in range(n)]


def check(crontab: str) -> None:
    """Raise CronError unless this is a line that fires."""
    _parse(crontab)


def zone(name: str | ZoneInfo) -> tzinfo:
    """The zone of that name, as it is in this system's tzdata."""
    if not isinstance(name, str):
        return name
    try:
        return ZoneInfo(name)
    # Beside a KeyError for what is missing: a folder, a path, what no path can hold.
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
        # Years 1 to 9999 are all that datetime has.
        except (ValueError, OverflowError) as error:
            raise CronError(
                f"crontab: no slot after {after} in the calendar"
            ) from error
        yield after


@dataclass(frozen=True, slots=True)
class _Line:
    #: One, or one for each of the two day fields of which one is enough.
    parts: tuple[croniter, ...]
    fixed: bool

    def wall(self, time: datetime) -> datetime:
        return min(_search(part, time) for part in self.parts)


@lru_cache(maxsize=1024)
def _parse(crontab: str) -> _Line:
    texts = _split(crontab)
    minute, hour, day, month, weekday = (
        field.read(text) for field, text in zip(_FIELDS, texts, strict=True)
    )
    if any(text.startswith("*") for text in (texts[2], texts[4])):
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


def _split(crontab: str) -> list[str]:
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
    if len(texts) in (6, 7):
        raise CronError(
            f"crontab: {len(texts)} fields, and tools differ on which holds the seconds"
            " or the year; use five: minute hour day-of-month month day-of-week"
        )
    if len(texts) != len(_FIELDS):
        raise CronError(
            f"crontab: {len(texts)} fields;"
            " use five: minute hour day-of-month month day-of-week"
        )
    return texts


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
    # A croniter has a state, and threads share the lines.
    found: datetime = copy.copy(part).get_next(datetime, start_time=time)
    return found


# What a field may hold

_TERM = re.compile(r"(?:(\*)|(\d+|[A-Z]+)(?:-(\d+|[A-Z]+))?)(?:/(\d+))?", re.ASCII)


class _Field:
    def __init__(
        self, name: str, low: int, high: int, usage: str, names: str = ""
    ) -> None:
        self.name = name
        self.low = low
        self.high = high
        self.usage = usage
        self.names = {text: low + i for i, text in enumerate(names.split())}

    def read(self, text: str) -> str:
        """The field in plain numbers, for croniter."""
        return self.render(self.union(text.split(",")))

    def render(self, values: set[int]) -> str:
        if len(values) == self.high - self.low + 1:
            return "*"
        return ",".join(map(str, sorted(values)))

    def union(self, terms: list[str]) -> set[int]:
        return set().union(*map(self.values, terms))

    def values(self, term: str) -> set[int]:
        match = _TERM.fullmatch(term)
        if match is None:
            raise self.refuse(f"{term!r} is not valid")
        star, first, last, step = match.groups()
        low, high = self.low, self.high
        if not star:
            low = self.number(first)
            if last:
                high = self.number(last)
            elif not step:
                high = low
        if low > high and last == "SUN":
            high = 7  # FRI-SUN
        if low > high:
            raise self.refuse(f"{term!r} runs backwards")
        if step and not int(step):
            raise self.refuse(f"{term!r} has a step of 0")
        return set(range(low, high + 1, int(step or 1)))

    def number(self, text: str) -> int:
        value = int(text) if text.isdigit() else self.names.get(text)
        if value is None or not self.low <= value <= self.high:
            raise self.refuse(f"{text} is not valid")
        return value

    def refuse(self, reason: str) -> CronError:
        return CronError(f"{self.name}: {reason}; use {self.usage}")


class _DayOfMonth(_Field):
    def read(self, text: str) -> str:
        if text == "LW":
            return "31W"  # croniter's nearest weekday stays in the month
        if match := re.fullmatch(r"(\d+)W|W(\d+)", text):
            return f"{self.number(match[1] or match[2])}W"
        terms = text.split(",")
        if len(terms) > 1 and "W" in text:
            raise self.refuse(f"{text!r} has a W in a list, and it has to stand alone")
        days = self.render(self.union([term for term in terms if term != "L"]))
        if days == "*" or "L" not in terms:
            return days
        return f"{days},L" if days else "L"


class _DayOfWeek(_Field):
    def read(self, text: str) -> str:
        terms = text.split(",")
        counted = [term for term in terms if "#" in term or "L" in term]
        if not counted:
            return super().read(text)
        if len(counted) < len(terms):
            raise self.refuse(f"{text!r} mixes # or L with plain days")
        return ",".join(sorted(set().union(*map(self.counted, terms))))

    def counted(self, term: str) -> set[str]:
        if match := re.fullmatch(r"([^/*#]+)#([1-5])", term):
            return {f"{day}#{match[2]}" for day in self.values(match[1])}
        if match := re.fullmatch(r"L([0-7])", term):
            return {f"L{int(match[1]) % 7}"}
        raise self.refuse(f"{term!r} is neither like FRI#2 nor like L5")

    def values(self, term: str) -> set[int]:
        return {day % 7 for day in super().values(term)}


_FIELDS = (
    _Field("minute", 0, 59, "0-59"),
    _Field("hour", 0, 23, "0-23"),
    _DayOfMonth("day of month", 1, 31, "1-31, L, LW or 15W"),
    _Field(
        "month",
        1,
        12,
        "1-12 or JAN-DEC",
        "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC",
    ),
    _DayOfWeek("day of week", 0, 7, "0-7 or SUN-SAT", "SUN MON TUE WED THU FRI SAT"),
)
