"""The scales of a chart: where a value and a moment stand, and what is written beside."""

from __future__ import annotations

from datetime import timedelta
from math import floor, log10
from typing import TYPE_CHECKING, NamedTuple

from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: The picture, in its own units, and the part of it that is drawn on.
WIDTH, HEIGHT = 360, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 4, 16, 18
#: Texts below it.
MOMENTS = 4


def top_of(highest: float) -> float:
    """Return the end of a scale that a value fits in: 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0
    power: float = 10.0 ** floor(log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if highest <= step * power)


class Scale(NamedTuple):
    """The scales of one chart, from `since` to `until`, and from 0 to `top`."""

    since: datetime
    until: datetime
    top: float

    def x(self, when: datetime) -> float:
        share = (when - self.since) / (self.until - self.since)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, share))

    def y(self, value: float) -> float:
        share = min(1.0, max(0.0, value / self.top))
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share

    def end_at(self, x: float) -> str:
        """Return which end of a text stands there, so that it is within the picture."""
        third = (WIDTH - LEFT - RIGHT) / 3
        if x < LEFT + third:
            return "start"
        return "end" if x > LEFT + 2 * third else "middle"

    def values(self) -> Iterator[tuple[float, float]]:
        """Give what is written beside it: (where, value)."""
        for part in (0.0, 0.5, 1.0):
            yield self.y(self.top * part), self.top * part

    def moments(self) -> Iterator[tuple[float, str, str]]:
        """Give what is written below it: (where, text, the end that stands there)."""
        length = self.until - self.since
        form = "%H:%M" if length <= timedelta(days=2) else "%m-%d"
        for number in range(MOMENTS + 1):
            when = self.since + length * number / MOMENTS
            anchor = {0: "start", MOMENTS: "end"}.get(number, "middle")
            text = timezone.localtime(when).strftime(form)
            yield self.x(when), text, anchor
