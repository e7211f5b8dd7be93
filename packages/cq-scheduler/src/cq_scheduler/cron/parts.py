"""A cron line in parts that can be said in words, one after the other.

What says them knows fewer forms than cron has. So a field that mixes steps with others
is spelled out, and what only lists together is given one by one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from . import lines
from .fields import FIELDS

if TYPE_CHECKING:
    from .fields import Field

_VALUE = r"(?:\d+|[A-Z]+)"
_LIST = re.compile(rf"{_VALUE}(?:-{_VALUE})?(?:,{_VALUE}(?:-{_VALUE})?)*", re.ASCII)
_STEPS = re.compile(rf"(?:\*|{_VALUE}(?:-{_VALUE})?)/\d+", re.ASCII)


class Reading(NamedTuple):
    """The fields of a line; `*` is any."""

    minute: str
    hour: str
    #: Days of the month, of which one is enough.
    days: tuple[str, ...]
    month: str
    #: Days of the week, of which one is enough.
    weekdays: tuple[str, ...]
    #: Whether a day has to be among both; else one of the two is enough.
    both: bool


def reading(crontab: str) -> Reading:
    """Return the parts of a line; raises CronError for one that doesn't fire."""
    lines.check(crontab)
    texts = lines.split(crontab)
    minute, hour, month = (_plain(FIELDS[i], texts[i]) for i in (0, 1, 3))
    days, weekdays = _days(texts[2]), _weekdays(texts[4])
    both = lines.both_days(texts)
    if not both and ("*",) in (days, weekdays):
        days = weekdays = ("*",)
    return Reading(minute, hour, days, month, weekdays, both)


def _days(text: str) -> tuple[str, ...]:
    if "W" in text:
        return ("LW" if text == "LW" else FIELDS[2].read(text),)
    if "L" not in text:
        return (_plain(FIELDS[2], text),)
    rest = ",".join(term for term in text.split(",") if term != "L")
    plain = _plain(FIELDS[2], rest) if rest else "L"
    return (plain,) if plain in ("L", "*") else (plain, "L")


def _weekdays(text: str) -> tuple[str, ...]:
    read = FIELDS[4].read(text)
    if "#" in read or "L" in read:
        return tuple(read.split(","))
    return (_plain(FIELDS[4], text),)


def _plain(field: Field, text: str) -> str:
    """Return the field as it was written, where that is easily said; else its numbers."""
    numbers = field.read(text)
    # "Every two days of the week" would not say which.
    steps = _STEPS.fullmatch(text) and field is not FIELDS[4]
    return text if "," in numbers and (steps or _LIST.fullmatch(text)) else numbers
