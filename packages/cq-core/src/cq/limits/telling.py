"""What holds a queued task that has limits, as a part of a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count
from django.utils import timezone

from cq.db.clock import database_now
from cq.definitions.bounds import bounds_of
from cq.tables.limits.queries import limit_keys, limits_set, places

from .claims.rate import Meter

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cq.definitions.bounds import Bound
    from cq.tables.rows import TaskRow

_UNITS = ((1, "s"), (60, "m"), (3600, "h"), (86_400, "d"))


def why_held(using: str, task: TaskRow, now: datetime | None = None) -> str | None:
    """Return which limits let a queued task not start now, and why; None: none does."""
    if task.lane is None:
        return None
    overrides = {row.name: row for row in limits_set(using)}
    bounds = bounds_of(task.name, task.options, overrides)
    if not bounds:
        return None
    now = now or database_now(using)
    keys = [bound.key for bound in bounds]
    known = {row.key: row for row in limit_keys(using).filter(key__in=keys)}
    rows = places(using).filter(key__in=keys).values("key")
    taken = dict(rows.annotate(n=Count("number")).values_list("key", "n"))
    parts = []
    for bound in bounds:
        row = known.get(bound.key)
        closed = None if row is None else row.closed_until
        arrival = None if row is None else row.arrival
        said = _closed(closed, now) or _full(bound, taken.get(bound.key, 0))
        said = said or _shut(bound, arrival, now)
        if said:
            parts.append(f"{_named(bound)} {said}")
    return ", and ".join(parts) or None


def _named(bound: Bound) -> str:
    of = "" if bound.name in (None, bound.key) else f" (of {bound.name!r})"
    return f"limit {bound.key!r}{of}"


def _closed(until: datetime | None, now: datetime) -> str | None:
    if until is None or until <= now:
        return None
    shown = timezone.localtime(until).isoformat(sep=" ", timespec="seconds")
    return f"is closed by back_off until {shown}, for {_span(until - now)}"


def _full(bound: Bound, taken: int) -> str | None:
    most = bound.concurrency
    if most is None or taken < most:
        return None
    return f"lets {most:,} run at once, and {taken:,} do"


def _shut(bound: Bound, arrival: datetime | None, now: datetime) -> str | None:
    if bound.interval is None or bound.burst is None:
        return None
    meter = Meter(bound.interval, bound.burst, arrival, now)
    if meter.left > 0:
        return None
    return f"opens in {_span(meter.opens_in)} ({_rate(bound.interval)})"


def _rate(interval: float) -> str:
    """Return so many seconds a start as a rate, in the first unit that has one in it."""
    for seconds, unit in _UNITS:
        if seconds >= interval:
            return f"{seconds / interval:.6g}/{unit}"
    return f"1 in {interval:g} s"


def _span(length: timedelta) -> str:
    seconds = length.total_seconds()
    if seconds < 10:
        return f"{max(0.1, seconds):.1f} s"
    return f"{round(seconds)} s" if seconds < 120 else str(length).partition(".")[0]
