"""What operators have set of named limits, as those who claim know it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cq.tables.limits.queries import limits_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.tables.limits.rows import LimitRow

#: Seconds for which they go by what they have read. What is set holds within a second.
GOOD_FOR_SECONDS = 0.5


class Overrides:
    """What is set of named limits, read again when it is too old. For one thread."""

    def __init__(self, using: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.using = using
        self._clock = clock
        self._until = -1.0
        self._found: dict[str, LimitRow] = {}

    def now(self) -> dict[str, LimitRow]:
        """Return them by the names of the limits."""
        began = self._clock()
        if began >= self._until:
            self._found = {row.name: row for row in limits_set(self.using)}
            self._until = began + GOOD_FOR_SECONDS
        return self._found
