"""What operators have set of named limits, as those who claim know it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cq.tables.limits.queries import limits_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        if self._clock() >= self._until:
            self._read()
        return self._found

    def changed(self) -> set[str]:
        """Read them again; return the limits of which something else was set than known."""
        before = _numbers(self._found)
        self._read()
        after = _numbers(self._found)
        return {
            name
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)
        }

    def _read(self) -> None:
        began = self._clock()
        self._found = {row.name: row for row in limits_set(self.using)}
        self._until = began + GOOD_FOR_SECONDS


def _numbers(rows: Mapping[str, LimitRow]) -> dict[str, tuple[object, ...]]:
    return {name: (row.rate, row.burst, row.concurrency) for name, row in rows.items()}
