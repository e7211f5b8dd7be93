"""Offers: lanes of others' queues that are opened before one's own.

Who gives a place back opens a lane that it can claim from itself, for nobody else may come
by. Where workers of several queues share a key, those of one would have all of its places
for as long as they have work. So now and then one that is more urgent goes first, and one's
own are opened a moment later; and who has no slot free leaves what it has opened to others.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.statements import and_all, any_of, none_of
from cq.workers import doorbell

from .holding import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cq.db.statements import Condition

    from .holding import Served

#: Seconds from one look under a key to the next, at least, and as a multiple of an answer.
SPACING_SECONDS, SPACING = 0.5, 10.0
#: Seconds that others have to take what is offered, for a ring and a claim: at first; and at
#: most, where the same lane is held again, for they may have come too late.
ANSWER_SECONDS, LONGEST_ANSWER_SECONDS = 0.02, 0.32
#: Keys that are looked at together, and of which it is known when they were, at most.
MOST_KEYS, MOST_KNOWN = 10, 10_000
#: Lanes that are opened under one key.
MOST_LANES = 10


class _Lane(NamedTuple):
    """A lane that a key holds."""

    pk: int
    queue: str


class Offers:
    """What one claimer offers to others. For its thread."""

    def __init__(self, using: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.using = using
        self._clock = clock
        #: By key: when there is to be the next look.
        self._next: dict[str, float] = {}
        #: By key: the lane that was offered last, and how long.
        self._last: dict[str, tuple[int, float]] = {}
        #: By key: until when it is others' turn, and how many may start.
        self._offered: dict[str, tuple[float, int]] = {}
        #: Keys of which lanes were opened that nobody has claimed from here yet.
        self._opened: set[str] = set()

    @property
    def next_over(self) -> float:
        """When the first offer is over, by the monotonic clock; or infinity."""
        return min((until for until, _ in self._offered.values()), default=math.inf)

    def over(self) -> dict[str, int]:
        """Return the keys of offers that are over, with how many may start."""
        now = self._clock()
        keys = [key for key, (until, _) in self._offered.items() if until <= now]
        return {key: self._offered.pop(key)[1] for key in keys}

    def make(self, rooms: Mapping[str, int], served: Served) -> set[str]:
        """Open under some keys with room a lane of others; which they are."""
        if served == EVERYTHING or not rooms:
            return set()
        now = self._clock()
        due = [key for key in rooms if self._next.get(key, now) <= now][:MOST_KEYS]
        if len(self._next) > MOST_KNOWN:
            self._next.clear()
            self._last.clear()
        made = set()
        for key in due:
            self._next[key] = now + SPACING_SECONDS
            going_on = _is_going_on(self.using, served)
            found = self._held(key, [going_on], 1)
            if not found or _serves(served, found[0].queue):
                continue
            if rooms[key] > 1:
                of_others = _is_of_others(self.using, served)
                most = min(rooms[key], MOST_LANES)
                found = self._held(key, [going_on, of_others], most)
            self._open(key, found)
            made.add(key)
            answer = self._answer(key, found)
            self._offered[key] = (now + answer, rooms[key])
            self._next[key] = now + max(SPACING_SECONDS, SPACING * answer)
        return made

    def _answer(self, key: str, found: list[_Lane]) -> float:
        """Return the seconds that others have for these."""
        answer = ANSWER_SECONDS
        first = found[0].pk if found else 0
        last, length = self._last.get(key, (0, 0.0))
        if last == first:
            answer = min(2 * length, LONGEST_ANSWER_SECONDS)
        self._last[key] = (first, answer)
        return answer

    def opened(self, keys: Iterable[str], served: Served) -> None:
        """Note the keys of which one's own lanes were opened."""
        if served != EVERYTHING and len(self._opened) < MOST_KNOWN:
            self._opened.update(keys)

    def claimed(self, keys: Iterable[str]) -> None:
        """Note the keys under which something was started here."""
        self._opened.difference_update(keys)

    def leave(self, served: Served) -> None:
        """Open under the keys that were noted a lane of others: nobody here is free."""
        keys, self._opened = sorted(self._opened), set()
        for key in keys:
            of_others = _is_of_others(self.using, served)
            going_on = _is_going_on(self.using, served)
            self._open(key, self._held(key, [going_on, of_others], 1))

    def _held(self, key: str, which: list[Condition], most: int) -> list[_Lane]:
        """Return the most urgent lanes of these that a key holds."""
        connection = connections[self.using]
        order, hint = "l.held_by, l.priority DESC, l.head", ""
        if connection.vendor == "mysql":
            order, hint = "l.priority DESC, l.head", " FORCE INDEX (cq_lane_held)"
        sql, params = and_all(which)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT l.id, l.queue FROM cq_lanes l{hint} WHERE l.held_by = %s{sql} "
                f"ORDER BY {order} LIMIT {int(most)}",
                [key, *params],
            )
            return [_Lane(*row) for row in cursor.fetchall()]

    def _open(self, key: str, found: list[_Lane]) -> None:
        with connections[self.using].cursor() as cursor:
            # One by one: nothing else is locked while one of them is waited for.
            for lane in found:
                cursor.execute(
                    "UPDATE cq_lanes SET held_by = NULL WHERE id = %s AND held_by = %s",
                    [lane.pk, key],
                )
        for queue in dict.fromkeys(lane.queue for lane in found):
            doorbell.ring(self.using, [(doorbell.LANES, queue)])


def _serves(served: Served, queue: str) -> bool:
    return queue not in served.exclude and (
        served.queues is None or queue in served.queues
    )


def _is_going_on(using: str, served: Served) -> Condition:
    """Return SQL for a lane that nobody has paused."""
    sql = (
        "NOT EXISTS (SELECT 1 FROM cq_pauses p WHERE p.kind = 'queue' "
        "AND p.name = l.queue)"
    )
    if not served.without_names:
        return sql, []
    names, params = none_of("l.name", connections[using], sorted(served.without_names))
    return f"{sql} AND {names}", params


def _is_of_others(using: str, served: Served) -> Condition:
    """Return SQL for a lane of a queue that is not served."""
    connection = connections[using]
    parts: list[Condition] = []
    if served.queues is not None:
        parts.append(none_of("l.queue", connection, sorted(served.queues)))
    if served.exclude:
        parts.append(any_of("l.queue", connection, sorted(served.exclude)))
    if not parts:
        return "1 = 0", []
    params: list[Any] = [param for _, some in parts for param in some]
    return f"({' OR '.join(sql for sql, _ in parts)})", params
