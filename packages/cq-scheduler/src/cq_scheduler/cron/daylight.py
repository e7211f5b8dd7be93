"""Daylight saving by the rule of Debian's cron.

A line is *fixed* when neither its minute nor its hour begins with ``*``: it names
moments of the day. Any other line follows the wall clock.

==================  ==============================  ==========================
the local time      a fixed line                    any other line
==================  ==============================  ==========================
is skipped          fires once, right after the     doesn't fire
                    gap, however many it missed
comes twice         fires the first time            fires both times
is there once       fires                           fires
==================  ==============================  ==========================

Debian's cron takes a jump of three hours or more for a correction of the clock and
makes up for nothing; here the day that Samoa skipped is a gap like the others.

Nothing here knows about cron: a line is a function that gives the first of its
wall-clock times (naive, whole minutes) strictly after another.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

Wall = Callable[[datetime], datetime]

MINUTE = timedelta(minutes=1)
#: A line that had only skipped times for longer has no others: the weekday of a date
#: comes round in 40 years at most, and with it the changes of the clock.
MAX_YEARS = 50


class AlwaysSkipped(ValueError):
    """A line whose times the clock skips, each of them."""


def next_moment(wall: Wall, after: datetime, zone: tzinfo, *, fixed: bool) -> datetime:
    """Return the first moment (UTC) strictly after ``after`` at which the line fires.

    Raises AlwaysSkipped; ValueError or OverflowError where the calendar ends.
    """
    local = after.astimezone(zone)
    now = local.replace(second=0, microsecond=0, tzinfo=None, fold=0)
    if fixed:
        return _fixed(wall, now, zone, again=bool(local.fold))
    return _floating(wall, now, zone, after)


def skipped(wall: Wall, moment: datetime, zone: tzinfo) -> datetime | None:
    """Return the first time (naive) of a fixed line that the clock skips up to a moment.

    None where the clock skips nothing there, or nothing that the line names.
    """
    time = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    before = (moment - MINUTE).astimezone(zone).replace(tzinfo=None, fold=0)
    found = wall(before) if time - before > MINUTE else time
    return found if found < time else None


def twice(moment: datetime, zone: tzinfo) -> bool:
    """Tell whether the clock shows the time of a moment twice."""
    time = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    first, second = _readings(time, zone)
    return first < second


def _fixed(wall: Wall, now: datetime, zone: tzinfo, *, again: bool) -> datetime:
    if again:
        # The line fired in the first pass at all times that the second has left.
        now = _edge_of_repeat(now, zone, MINUTE)
    first, _ = _readings(_end_of_gap(wall(now), zone), zone)
    return first


def _floating(wall: Wall, now: datetime, zone: tzinfo, after: datetime) -> datetime:
    time = wall(now)
    first, second = _readings(now, zone)
    if first < second and second > after and _readings(time, zone)[0] >= second:
        # The first pass has no time of the line left, but the clock goes back before it
        # comes to ``time``: the times of the second pass are still to come.
        time = wall(_edge_of_repeat(now, zone, -MINUTE) - MINUTE)
    last = time.year + MAX_YEARS
    while (end := _end_of_gap(time, zone)) != time:
        if time.year > last:
            raise AlwaysSkipped
        time = wall(end - MINUTE)
    first, second = _readings(time, zone)
    return first if first > after else second


def _readings(time: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return a wall-clock time by the offsets before and after a change (PEP 495).

    Equal if it is there once; in order if it comes twice; in reverse if it is skipped.
    """
    first = time.replace(tzinfo=zone).astimezone(UTC)
    second = time.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return first, second


def _end_of_gap(time: datetime, zone: tzinfo) -> datetime:
    """Return the first minute at or after ``time`` that exists."""
    first, second = _readings(time, zone)
    while first > second:
        time += MINUTE
        first, second = _readings(time, zone)
    return time


def _edge_of_repeat(time: datetime, zone: tzinfo, step: timedelta) -> datetime:
    """Return the last, in steps, of the minutes that come twice together with ``time``."""
    first, second = _readings(time + step, zone)
    while first < second:
        time += step
        first, second = _readings(time + step, zone)
    return time
