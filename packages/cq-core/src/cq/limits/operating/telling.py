"""What holds a queued task that has limits: as facts, and as a part of a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Count
from django.utils import timezone

from cq.db.clock import database_now
from cq.definitions.bounds import Bound, bounds_of
from cq.limits.claims.rate import Meter
from cq.tables.limits.queries import limit_keys, limits_set, places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from cq.tables.rows import TaskRow

_UNITS = ((1, "s"), (60, "m"), (3600, "h"), (86_400, "d"))


class Hold(NamedTuple):
    """One limit that lets a task not start now, and why; one of the three is given.

    closed_for: by `back_off`, until closed_until. taken: places, which are all that it has.
    opens_in: when its rate lets the next start.
    """

    bound: Bound
    closed_until: datetime | None = None
    closed_for: timedelta | None = None
    taken: int | None = None
    opens_in: timedelta | None = None

    @property
    def rate(self) -> str:
        """Its rate, in the first unit that has one start in it: ``90/s``."""
        interval = self.bound.interval or 0.0
        for seconds, unit in _UNITS:
            if 0 < interval <= seconds:
                return f"{seconds / interval:.6g}/{unit}"
        return ""


def holds(using: str, task: TaskRow, now: datetime | None = None) -> list[Hold]:
    """Return the limits that let a queued task not start now, in the order of their keys."""
    if task.lane is None:
        return []
    overrides = {row.name: row for row in limits_set(using)}
    bounds = bounds_of(task.name, task.options, overrides)
    if not bounds:
        return []
    return list(_holds(using, bounds, now or database_now(using)))


def _holds(using: str, bounds: list[Bound], now: datetime) -> Iterator[Hold]:
    keys = [bound.key for bound in bounds]
    known = {row.key: row for row in limit_keys(using).filter(key__in=keys)}
    rows = places(using).filter(key__in=keys).values("key")
    taken = dict(rows.annotate(n=Count("number")).values_list("key", "n"))
    for bound in bounds:
        row, count = known.get(bound.key), taken.get(bound.key, 0)
        until = None if row is None else row.closed_until
        arrival = None if row is None else row.arrival
        if until is not None and until > now:
            yield Hold(bound, closed_until=until, closed_for=until - now)
        elif bound.concurrency is not None and count >= bound.concurrency:
            yield Hold(bound, taken=count)
        elif bound.interval is not None and bound.burst is not None:
            meter = Meter(bound.interval, bound.burst, arrival, now)
            if meter.left <= 0:
                yield Hold(bound, opens_in=meter.opens_in)


def why_held(using: str, task: TaskRow, now: datetime | None = None) -> str | None:
    """Return which limits let a queued task not start now, and why; None: none does."""
    return ", and ".join(map(_in_words, holds(using, task, now))) or None


def _in_words(hold: Hold) -> str:
    bound = hold.bound
    of = "" if bound.name in (None, bound.key) else f" (of {bound.name!r})"
    limit = f"limit {bound.key!r}{of}"
    if hold.closed_until is not None and hold.closed_for is not None:
        until = timezone.localtime(hold.closed_until)
        shown = until.isoformat(sep=" ", timespec="seconds")
        return (
            f"{limit} is closed by back_off until {shown}, for {_span(hold.closed_for)}"
        )
    if hold.taken is not None:
        return f"{limit} lets {bound.concurrency:,} run at once, and {hold.taken:,} do"
    assert hold.opens_in is not None
    return f"{limit} opens in {_span(hold.opens_in)} ({hold.rate})"


def _span(length: timedelta) -> str:
    seconds = length.total_seconds()
    if seconds < 10:
        return f"{max(0.1, seconds):.1f} s"
    return f"{round(seconds)} s" if seconds < 120 else str(length).partition(".")[0]
