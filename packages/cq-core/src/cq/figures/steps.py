"""The steps in which figures are kept, how long each is, and spans of time to look at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

#: Minutes.
MINUTE, TEN_MINUTES, HOUR, DAY = STEPS = (1, 10, 60, 1440)
#: By step, how many minutes long it is kept. Then it is folded into the next, or deleted.
Kept = Mapping[int, int]
FIGURES_KEPT: Kept = {
    MINUTE: 3 * HOUR,
    TEN_MINUTES: 2 * DAY,
    HOUR: 14 * DAY,
    DAY: 400 * DAY,
}
DEPTHS_KEPT: Kept = {MINUTE: 2 * DAY, TEN_MINUTES: 30 * DAY}
MARKS_KEPT = timedelta(days=400)
#: Points of a chart, and one more: the slot that is not over.
MOST_POINTS = 180


def minute_of(moment: datetime) -> int:
    """Return the minute that a moment is in, counted from 1970."""
    return int(moment.timestamp() // 60)


def moment_of(slot: int) -> datetime:
    """Return the beginning of a slot."""
    return datetime.fromtimestamp(slot * 60, UTC)


def slot_of(minute: int, step: int) -> int:
    """Return the slot that a minute is in."""
    return minute - minute % step


class Span(NamedTuple):
    """A span of time in whole slots, from `since` up to, and without, `until`.

    length: minutes, in whole steps, of the span before, which ends where this begins.
    """

    since: int
    until: int
    step: int
    length: int

    @classmethod
    def last(cls, length: timedelta, now: datetime, kept: Kept = FIGURES_KEPT) -> Span:
        """Return the span that ends now, with the slot that is not over."""
        present = minute_of(now)
        first = minute_of(now - length)
        return cls._in_finest_step(first, present + 1, present - first, present, kept)

    @classmethod
    def between(
        cls, since: datetime, until: datetime, now: datetime, kept: Kept = FIGURES_KEPT
    ) -> Span:
        """Return the span from one moment to another."""
        first, end = minute_of(since), minute_of(until)
        return cls._in_finest_step(first, end, end - first, minute_of(now), kept)

    @classmethod
    def _in_finest_step(
        cls, first: int, end: int, length: int, present: int, kept: Kept
    ) -> Span:
        """Return a span in the finest step that has all of it, and of the span before.

        Raises ValueError where it is empty, or has too many points in any step.
        """
        if length <= 0:
            raise ValueError(f"a span of {length} minutes has nothing in it")
        for step in STEPS:
            since = slot_of(first, step)
            span = cls(since, end, step, max(step, slot_of(length, step)))
            oldest = slot_of(present - kept.get(step, present), step)
            is_kept = step == DAY or span.before >= oldest
            if is_kept and len(span.slots) <= MOST_POINTS + 1:
                return span
        raise ValueError(
            f"a span of {length / DAY:g} days has more than {MOST_POINTS} points; the "
            f"longest has {MOST_POINTS} days"
        )

    @property
    def before(self) -> int:
        """Where the span before begins."""
        return self.since - self.length

    @property
    def slots(self) -> range:
        """The slots of it, in their order."""
        return range(self.since, self.until, self.step)
