"""Lanes that are passed over for a moment, since nothing of them could be claimed.

Their tasks are locked by somebody's transaction, or have expired, or are of a release that
is left to others. They are the oldest, and others that stand behind them would wait.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Seconds: a worker looks at what there is as often.
SECONDS = 1.0
#: Lanes that are passed over at once.
MOST = 200


class PassedOver:
    """The lanes that one claimer passes over, by their ids. For its thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: By lane: until when; those that end first come first.
        self._until: dict[int, float] = {}

    def now(self) -> list[int]:
        """Return which they are."""
        now = self._clock()
        for lane, until in list(self._until.items()):
            if until > now:
                break
            del self._until[lane]
        return list(self._until)

    def add(self, lanes: Iterable[int]) -> bool:
        """Pass these over from now on; whether there are any that were not before."""
        until, before = self._clock() + SECONDS, len(self._until)
        for lane in lanes:
            if len(self._until) < MOST:
                self._until.setdefault(lane, until)
        return len(self._until) > before
