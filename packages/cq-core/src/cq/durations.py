"""Durations as people write them: seconds, a timedelta, or text such as "7d"; and read them."""

from __future__ import annotations

import re
from datetime import timedelta
from math import inf, isnan
from typing import Any

#: What is further away has no date in some database.
LONGEST_SPAN = timedelta(days=36_500)
FOREVER = "forever"
WORDS = 'seconds, a timedelta, "7d", "12h", "30m", "45s", or "forever"'

#: What a length is told in, and the seconds of each; the smallest has fractions, see `parts`.
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TEXT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([smhd])")


def seconds(value: object) -> float:
    """Return a duration in seconds; infinity for one that never ends.

    Raises ValueError for what is none, or negative.
    """
    found: float | None = None
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif value == FOREVER:
        found = inf
    elif isinstance(value, str):
        match = _TEXT.fullmatch(value)
        found = float(match[1]) * _UNIT_SECONDS[match[2]] if match else None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found = value
    if found is None or isnan(found) or found < 0:
        raise ValueError(f"{value!r} is no duration; give {WORDS}")
    return found


def is_span(value: Any) -> bool:
    """Tell whether a value is a number of seconds, or a timedelta, and not too long."""
    if isinstance(value, timedelta):
        return timedelta() <= value <= LONGEST_SPAN
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= LONGEST_SPAN.total_seconds()


def are_spans(value: object) -> bool:
    """Tell whether a value is a list of such, with one at least."""
    return (
        isinstance(value, (list, tuple)) and len(value) > 0 and all(map(is_span, value))
    )


def parts(length: float, most: int | None = 2) -> list[tuple[float, str]]:
    """Return the units in which a length of time is told, the largest first, with how many.

    length: seconds; of less than none, as two clocks may have it, there are none. most:
    units at most, where the rest does not matter; None: to the second.
    """
    length = max(0.0, float(length))
    if length < 0.9995:
        return [(round(length * 1000), "ms")]
    if (tenths := round(length, 1)) < 60:
        return [(int(tenths) if tenths.is_integer() else tenths, "s")]
    found: list[tuple[float, str]] = []
    rest = round(length)
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or found:
            found.append((number, unit))
    return [part for part in found[:most] if part[0]]


def in_words(length: float, most: int | None = 2) -> str:
    """Return a length of time, see `parts`, as people say it: ``21 ms``, ``4 min 10 s``."""
    return " ".join(f"{number} {unit}" for number, unit in parts(length, most))


def ago(length: float) -> str:
    """Return how long ago something was, in one unit: ``3 min ago``."""
    return "now" if length < 1 else f"{in_words(int(length), most=1)} ago"
