"""The keys of the lanes that one claim looks at: what of each is taken, and what is left."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.clock import database_now
from cq.tables.limits.queries import limit_keys, places

from .rate import Meter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from cq.definitions.bounds import Bound

#: Starts of a lane that no key limits.
UNLIMITED = 1_000_000


class Room(NamedTuple):
    """How many tasks of a lane may start, and which key lets no more."""

    starts: int
    held_by: str | None


class MissingKeys(Exception):
    """Keys with a rate have no rows yet; to be made outside of the transaction.

    Who inserts a row waits for who is about to insert the same, and must hold no lock then.
    """

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__(", ".join(names))
        #: The names of their limits, by key.
        self.names = names


def make_keys(using: str, names: Mapping[str, str]) -> None:
    """Make the rows of keys, as far as there are none."""
    model = limit_keys(using).model
    rows = [model(key=key, name=name) for key, name in sorted(names.items())]
    limit_keys(using).bulk_create(rows, ignore_conflicts=True)


class Keys:
    """What is taken of some keys, by the database's word, and what this claim takes.

    Those with a rate, or that somebody has closed, are locked, in their order, until the
    transaction ends; places are taken by a constraint, and need no lock.
    """

    def __init__(
        self, using: str, bounds: Iterable[Bound], now: datetime | None
    ) -> None:
        """Raises MissingKeys."""
        self.using = using
        by_key: dict[str, list[Bound]] = defaultdict(list)
        for bound in bounds:
            by_key[bound.key].append(bound)
        self._names = {key: of[0].name or "" for key, of in by_key.items()}
        metered = sorted(
            key for key, of in by_key.items() if any(b.interval for b in of)
        )
        placed = [key for key, of in by_key.items() if any(b.concurrency for b in of)]
        #: The moments of the keys that have a row.
        self._arrivals: dict[str, datetime | None] = {}
        self._closed: dict[str, datetime] = {}
        self._opens: dict[str, datetime | None] = {}
        self._lock(sorted(by_key), metered)
        # After the locks: who waited for one would else take an earlier moment for now.
        self.now = (now or database_now(using)) if self._arrivals else now
        self._taken: dict[str, set[int]] = {key: set() for key in placed}
        if placed:
            rows = places(using).filter(key__in=placed).values_list("key", "number")
            for key, number in rows:
                self._taken[key].add(number)
        self._changed: set[str] = set()
        #: By key: the starts that were taken of its rate.
        self.starts: Counter[str] = Counter()

    def _lock(self, keys: Sequence[str], metered: Sequence[str]) -> None:
        found = self._read(keys)
        missing = [key for key in metered if key not in found]
        if missing:
            raise MissingKeys({key: self._names[key] for key in missing})
        for key, (arrival, closed, opens) in found.items():
            self._arrivals[key], self._opens[key] = arrival, opens
            if closed is not None:
                self._closed[key] = closed

    def _read(self, keys: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        rows = limit_keys(self.using).filter(key__in=keys).order_by("key")
        if connections[self.using].features.has_select_for_update:
            rows = rows.select_for_update()
        columns = rows.values_list("key", "arrival", "closed_until", "opens")
        return {key: tuple(rest) for key, *rest in columns}

    # --- what is left -----------------------------------------------------------------

    def room(self, bounds: Sequence[Bound]) -> Room:
        """Return how many tasks that have these bounds may start."""
        starts, held_by = UNLIMITED, None
        for bound in bounds:
            left = self._left(bound)
            if left < starts:
                starts, held_by = left, bound.key
        return Room(starts, held_by)

    def _left(self, bound: Bound) -> int:
        if self._is_closed(bound.key):
            return 0
        left = UNLIMITED
        if bound.concurrency is not None:
            left = len(self._free(bound.key, bound.concurrency))
        if bound.interval is not None:
            left = min(left, self._meter(bound).left)
        return left

    def _is_closed(self, key: str) -> bool:
        until = self._closed.get(key)
        return until is not None and self.now is not None and until > self.now

    def _free(self, key: str, concurrency: int) -> list[int]:
        """Return the numbers of the places that are free.

        Where more are taken than there are by now, as many fewer: each of those that are
        beyond its concurrency stands for one that is not.
        """
        taken = self._taken[key]
        beyond = sum(number >= concurrency for number in taken)
        return [n for n in range(max(0, concurrency - beyond)) if n not in taken]

    def _meter(self, bound: Bound) -> Meter:
        assert bound.interval is not None
        assert bound.burst is not None
        assert self.now is not None
        arrival = self._arrivals.get(bound.key)
        return Meter(bound.interval, bound.burst, arrival, self.now)

    # --- what is taken ----------------------------------------------------------------

    def take(self, bounds: Sequence[Bound]) -> list[tuple[str, int]]:
        """Take what one start takes of each key; the places, as (key, number)."""
        taken: list[tuple[str, int]] = []
        for bound in bounds:
            if bound.concurrency is not None:
                number = self._free(bound.key, bound.concurrency)[0]
                self._taken[bound.key].add(number)
                taken.append((bound.key, number))
            self._move(bound, 1)
        return taken

    def give_back(
        self, bounds: Sequence[Bound], taken: Collection[tuple[str, int]]
    ) -> None:
        """Give back what one start had taken, which did not come to be."""
        for key, number in taken:
            self._taken[key].discard(number)
        for bound in bounds:
            self._move(bound, -1)

    def lost(self, place: tuple[str, int]) -> None:
        """Note that somebody else has a place that was free."""
        self._taken[place[0]].add(place[1])

    def _move(self, bound: Bound, starts: int) -> None:
        if bound.interval is None:
            return
        meter = self._meter(bound)
        meter.take(starts)
        self._arrivals[bound.key] = meter.arrival
        self._changed.add(bound.key)

    def opens_in(self, bounds: Iterable[Bound]) -> dict[str, timedelta]:
        """Return how long those of these keys are shut that open by themselves."""
        found: dict[str, timedelta] = {}
        for bound in bounds:
            wait = timedelta()
            if bound.interval is not None and self._meter(bound).left <= 0:
                wait = self._meter(bound).opens_in
            if self._is_closed(bound.key) and self.now is not None:
                wait = max(wait, self._closed[bound.key] - self.now)
            if wait:
                found[bound.key] = max(wait, found.get(bound.key, wait))
        return found

    def write(self, opens_in: dict[str, timedelta]) -> None:
        """Write what was taken of rates, and when those that are shut open again."""
        for key in sorted(self._changed | opens_in.keys()):
            wait = opens_in.get(key)
            opens = self.now + wait if wait and self.now is not None else None
            if key in self._changed or opens != self._opens.get(key):
                limit_keys(self.using).filter(key=key).update(
                    arrival=self._arrivals.get(key), opens=opens
                )
