"""The counter of the runs that end in this process, in memory until they are written."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.tables.figure_columns import BOUNDS, ENDS, NUMBERS, OTHERS, SUMS, WAITS

from .steps import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

#: Alias of the database, minute, name, queue.
Key = tuple[str, int, str, str]
#: The values of `NUMBERS`.
Numbers = list[float]
Counted = dict[Key, Numbers]

#: Of a run that is complete: alias of the database, name, queue, when it was claimed and
#: when it could have been, by the clock of the database, and the seconds that it took.
Returned = tuple[str, str, str, "datetime", "datetime", float]

#: Runs that are added up at once.
RETURNED_AT_ONCE = 200
#: Names, each with a queue, that have a row of their own, in an hour.
MOST_NAMES = 500
#: Queues in which the others are told apart.
MOST_OTHER_QUEUES = 100
#: Rows that are kept while they cannot be written: the oldest go first.
MOST_ROWS = 5_000

COMPLETE, FAILED, RETRIED, LOST, TIMED_OUT = range(len(ENDS))
_WAITED = len(ENDS)
_TOOK = _WAITED + 1
_FIRST_WAIT = len(ENDS) + len(SUMS)
_FIRST_DURATION = _FIRST_WAIT + len(WAITS)


class Counter:
    """The counter of a process, for all its threads.

    has_some: called when there is something to write where there was nothing.
    """

    def __init__(self, has_some: Callable[[], None]) -> None:
        self._has_some = has_some
        self.reset()

    def reset(self) -> None:
        """Forget all."""
        self._lock = threading.Lock()
        #: What is to be added to the rows.
        self._returned: deque[Returned] = deque()
        self._rows: Counted = {}
        #: Whether it was said that there is something.
        self._said = False
        self._names: set[tuple[str, str]] = set()
        self._hour = 0

    def __bool__(self) -> bool:
        return bool(self._rows or self._returned)

    def returned(self, run: Returned) -> None:
        """Count a run that is complete, as nearly all are: at once it is kept only.

        Each pays for this, and many together for the rest: that is quicker.
        """
        self._returned.append(run)
        # Behind it: who is about to go looks once more.
        if not self._said:
            self._say()
        # Whoever has the lock adds these, too; waiting for it would be a switch between
        # threads.
        elif len(self._returned) >= RETURNED_AT_ONCE and self._lock.acquire(False):
            try:
                self._add_returned()
            finally:
                self._lock.release()

    def succeeded(self, key: Key, waited: float | None, took: float) -> None:
        """Count a run that is complete. waited: None where it was never in a queue."""
        with self._lock:
            self._succeeded(key, waited, took)

    def ended(self, key: Key, end: int, *, timed_out: bool = False) -> None:
        """Count a run of which nothing but its end is of interest."""
        with self._lock:
            row = self._rows.get(key) or self._row(*key)
            row[end] += 1
            if timed_out:
                row[TIMED_OUT] += 1

    def take(self) -> Counted:
        """Return what was counted, which is not here any more."""
        self._said = False
        with self._lock:
            self._add_returned()
            rows, self._rows = self._rows, {}
        return rows

    def put_back(self, rows: Counted) -> int:
        """Add what was taken and could not be written; return how many rows are lost.

        That is where there are more than `MOST_ROWS` by now.
        """
        self._said = True
        with self._lock:
            newer, self._rows = self._rows, rows
            for key, numbers in newer.items():
                row = self._rows.get(key)
                if row is None:
                    self._rows[key] = numbers
                else:
                    row[:] = map(sum, zip(row, numbers, strict=True))
            too_many = max(0, len(self._rows) - MOST_ROWS)
            for key in list(self._rows)[:too_many]:
                del self._rows[key]
        return too_many

    def _say(self) -> None:
        if conf.FIGURES:
            self._said = True
            self._has_some()
        else:
            self._returned.clear()

    def _add_returned(self) -> None:
        """Add what has returned to the rows; the caller has the lock."""
        for _ in range(len(self._returned)):
            using, name, queue, started, could, took = self._returned.popleft()
            minute = int(started.timestamp() + took) // 60
            waited = max((started - could).total_seconds(), 0.0)
            self._succeeded((using, minute, name, queue), waited, took)

    def _succeeded(self, key: Key, waited: float | None, took: float) -> None:
        row = self._rows.get(key) or self._row(*key)
        row[COMPLETE] += 1
        row[_TOOK] += took
        row[_FIRST_DURATION + bisect_left(BOUNDS, took)] += 1
        if waited is not None:
            row[_WAITED] += waited
            row[_FIRST_WAIT + bisect_left(BOUNDS, waited)] += 1

    def _row(self, using: str, minute: int, name: str, queue: str) -> Numbers:
        """Return the row of a name, or the one that it shares with others."""
        # Asked for here alone: it would be a fifth of the price of each count.
        if not conf.FIGURES:
            return [0] * len(NUMBERS)
        if minute // HOUR != self._hour:
            self._hour = minute // HOUR
            self._names.clear()
        if not self._has_place(name, queue, MOST_NAMES):
            name = OTHERS
            if not self._has_place(name, queue, MOST_NAMES + MOST_OTHER_QUEUES):
                queue = OTHERS
        key = (using, minute, name, queue)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= MOST_ROWS:
                # Nobody has written for hours, or time runs backwards.
                del self._rows[next(iter(self._rows))]
            row = self._rows[key] = [0] * len(NUMBERS)
            if not self._said:
                # Now that it is there: who is about to go looks once more.
                self._say()
        return row

    def _has_place(self, name: str, queue: str, most: int) -> bool:
        pair = (name, queue)
        if pair not in self._names:
            if len(self._names) >= most:
                return False
            self._names.add(pair)
        return True
