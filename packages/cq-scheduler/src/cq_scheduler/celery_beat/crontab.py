"""Celery's five crontab fields as a cron line that means the same.

Celery lets ranges run backwards (``22-2``, ``sat-mon``), knows names in full, and wants
the day of month and the day of week to match both, always. Debian's cron, and so cq,
wants both only if either begins with ``*``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cq_scheduler.cron import CronError
from cq_scheduler.cron.fields import FIELDS, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names of months and days, as a cron line has them; Celery reads their first letters.
_NAMES = {
    name.lower(): number for field in FIELDS for name, number in field.names.items()
}
_TERM = re.compile(r"(?:(\*)|(\w+?)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)
#: Celery's own bounds: there 7 is no Sunday.
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_ANY_DAY = {*range(1, 32)}
_ANY_WEEKDAY = {*range(7)}


def cron_line(
    minute: str, hour: str, day_of_month: str, month_of_year: str, day_of_week: str
) -> str:
    """Return the cron line that fires on the minutes on which Celery's crontab does.

    Raises CronError for what Celery doesn't take, and for days that no line has.
    """
    given = (minute, hour, day_of_month, month_of_year, day_of_week)
    texts, values = [], []
    for text, field, (low, high) in zip(given, FIELDS, _BOUNDS, strict=True):
        text = re.sub(r"\s", "", text).lower()
        found = _expand(text, field.name, low, high)
        values.append(found)
        # Who knows the line finds it as it was, if it means the same here.
        texts.append(text if _ours(text, field) == found else _listed(found))
    texts[2], texts[4] = _days(texts[2], values[2], texts[4], values[4])
    return " ".join(texts)


def _expand(text: str, name: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        if match is None:
            raise CronError(f"{name}: {term[:100]!r} is not valid in Celery")
        star, first, last, step = match.groups()
        if step and not (star or last):
            raise CronError(f"{name}: {term!r} has a step, but no range")
        if step and not int(step):
            raise CronError(f"{name}: {term!r} has a step of 0")
        start = low if star else _number(first, name, low, high)
        end = high if star else _number(last or first, name, low, high)
        numbers = [*range(start, end + 1)]
        if end < start:
            numbers = [*range(start, high + 1), *range(low, end + 1)]
        found |= {*numbers[:: int(step or 1)]}
    return found


def _number(text: str, name: str, low: int, high: int) -> int:
    number = int(text) if text.isdigit() else _NAMES.get(text[:3], -1)
    if not low <= number <= high:
        raise CronError(f"{name}: {text[:100]!r} is not valid in Celery")
    return number


def _ours(text: str, field: Field) -> set[int] | None:
    try:
        return field.union(text.upper().split(","))
    except CronError:
        return None


def _listed(values: Iterable[int]) -> str:
    return ",".join(map(str, sorted(values)))


def _days(
    day: str, days: set[int], weekday: str, weekdays: set[int]
) -> tuple[str, str]:
    """Make both match, where one would be enough otherwise."""
    if day.startswith("*") or weekday.startswith("*"):
        return day, weekday
    if days == _ANY_DAY:
        return "*", weekday
    if weekdays == _ANY_WEEKDAY:
        return day, "*"
    for week in range(4):
        if days == {*range(week * 7 + 1, week * 7 + 8)}:
            return "*", ",".join(f"{number}#{week + 1}" for number in sorted(weekdays))
    # */31 is the 1st alone, and */7 Sunday; but a field that begins with a star has to
    # match beside the other one.
    if 1 in days:
        return f"*/31,{day}", weekday
    if 0 in weekdays:
        return day, f"*/7,{weekday}"
    raise CronError(
        f"day of month: Celery wants {day!r} and day of week {weekday!r} to match both, "
        "and a cron line is content with one; schedule one of them and look at the "
        "other in the task"
    )
