"""Rates: the generic cell rate algorithm (GCRA), which keeps one moment for a key.

That moment, the arrival, is when all starts that were taken would have come if they had
come one interval behind the other. A start is taken while the arrival is no further ahead
than the burst allows; so within any span there are no more than the burst and what the
rate gives for that span. See ITU-T I.371, annex A, and
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Meter:
    """What the rate of a key gives at one moment, and what of that is taken.

    interval: seconds from one start to the next. burst: starts that may come at once.
    arrival: of the starts before; None: there were none.
    """

    def __init__(
        self, interval: float, burst: int, arrival: datetime | None, now: datetime
    ) -> None:
        # Up to the microsecond that databases keep: rounded down it would be faster.
        self._interval = timedelta(microseconds=math.ceil(interval * 1_000_000))
        self._furthest = now + self._interval * burst
        # Where the rate was slower before, its arrival may be further than this one allows.
        self.arrival = (
            now if arrival is None else min(max(arrival, now), self._furthest)
        )

    @property
    def left(self) -> int:
        """How many may start."""
        return (self._furthest - self.arrival) // self._interval

    def take(self, starts: int) -> None:
        """Take so many, or give them back where it is below 0."""
        self.arrival += self._interval * starts

    @property
    def opens_in(self) -> timedelta:
        """How long it is until one may start."""
        return max(self.arrival + self._interval - self._furthest, timedelta())
