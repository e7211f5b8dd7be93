"""Turns: which of the open lanes of a pair a claim begins with, and how many tasks of each.

Within one queue and priority the lanes with a fair key take turns by key, those without
one stand in the order of their ages, and where there are both, every second turn is theirs.
Of a key with more weight each turn is longer: a deficit round robin, by M. Shreedhar and
G. Varghese, "Efficient Fair Queuing using Deficit Round Robin", SIGCOMM 1995.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.statements import and_all, any_of, none_of, uuid_of
from cq.definitions.fairness import weight_of

from .pairs import OPEN

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from cq.db.statements import Condition
    from cq.workers.ready_pairs import Pair

_OF_PAIR = f"{OPEN} AND l.queue = %s AND l.priority = %s"


#: Keys whose turns are remembered in part, at most: of very many with odd weights some lose
#: that part.
MOST_LEFT = 100_000
#: Keys that are looked at beyond the starts that there are: one whose weight is below 1 is
#: passed over in most of its turns.
MORE_KEYS = 4


class Lane(NamedTuple):
    """A lane that is locked: its row, and how many of its tasks may start in this turn."""

    pk: int
    queue: str
    priority: int
    lane: UUID
    name: str
    options: Any
    turn: int


class Names(NamedTuple):
    """The tasks that are claimed, by their names. only: these; None: all. without: not these.

    passed_over: ids of lanes that are left alone, whatever their names.
    """

    only: Sequence[str] | None = None
    without: Collection[str] = ()
    passed_over: Collection[int] = ()

    def condition(self, connection: Any) -> Condition:
        """Return what they are of a lane in SQL, with `AND` in front."""
        parts: list[Condition] = []
        if self.only is not None:
            parts.append(any_of("l.name", connection, list(self.only)))
        if self.without:
            parts.append(none_of("l.name", connection, sorted(self.without)))
        if self.passed_over:
            parts.append(none_of("l.id", connection, sorted(self.passed_over)))
        return and_all(parts)


class Turns:
    """The turns of one who claims: how far it has come among the keys of each pair."""

    def __init__(self, using: str) -> None:
        self.using = using
        #: By pair: the key that had the last turn.
        self._last: dict[Pair, str] = {}
        #: What is left of a key's turn, in starts, where its weight is not 1.
        self._left: dict[tuple[Pair, str], float] = {}
        #: Whether the next turn of a pair with both is that of the keys.
        self._keys_first = False

    def lock(self, pair: Pair, starts: int, names: Names) -> list[Lane]:
        """Lock the lanes whose turn it is, in order, for so many starts in all.

        To be called in a transaction. Lanes that another claim has locked are passed over.
        """
        by_key = self._firsts_of_keys(pair, starts + MORE_KEYS, names)
        share = starts
        if by_key:
            # Where the other half finds nothing, the keys have that, too.
            self._keys_first = not self._keys_first
            share = (starts + (not self._keys_first)) // 2
        without = self._without_key(pair, share, names) if share else []
        if not by_key:
            return [lane._replace(turn=starts) for lane in without]
        found = [lane._replace(turn=share) for lane in without]
        turns = self._share(pair, list(by_key), starts - (share if without else 0))
        return [*self._locked(by_key, turns), *found]

    def _without_key(self, pair: Pair, most: int, names: Names) -> list[Lane]:
        """Lock the oldest lanes of a pair that have no fair key."""
        connection = connections[self.using]
        sql, params = names.condition(connection)
        hint, order = "", "l.queue, l.priority DESC, l.fair, l.head"
        if connection.vendor == "mysql":
            hint = " FORCE INDEX (cq_lane_turns)"
            order = "l.head"
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS} FROM cq_lanes l{hint} WHERE {_OF_PAIR} "
                f"AND l.fair = ''{sql} ORDER BY {order} LIMIT {most}{_skip(connection)}",
                [*pair, *params],
            )
            return [_lane(row) for row in cursor.fetchall()]

    def _firsts_of_keys(self, pair: Pair, most: int, names: Names) -> dict[str, int]:
        """Return the next keys of a pair, each with its oldest open lane."""
        connection = connections[self.using]
        found: dict[str, int] = {}
        last = self._last.get(pair, "")
        if self._has_turn_left(pair, last):
            found |= self._keys(connection, pair, "l.fair = %s", last, 1, names)
        found |= self._keys(connection, pair, "l.fair > %s", last, most, names)
        if len(found) < most and last:
            found |= {
                key: pk
                for key, pk in self._keys(
                    connection, pair, "l.fair > %s", "", most, names
                ).items()
                if key not in found
            }
        return dict(list(found.items())[:most])

    def _has_turn_left(self, pair: Pair, key: str) -> bool:
        return self._left.get((pair, key), 0.0) >= 1.0

    def _keys(
        self,
        connection: Any,
        pair: Pair,
        behind: str,
        key: str,
        most: int,
        names: Names,
    ) -> dict[str, int]:
        """Return keys from there on, in their order."""
        sql, params = names.condition(connection)
        hint, order = "", "l.queue, l.priority DESC, l.fair, l.head"
        if connection.vendor == "mysql":
            hint = " FORCE INDEX (cq_lane_turns)"
            order = "l.fair, l.head"
        step = (
            f"SELECT l.fair, l.id FROM cq_lanes l{hint} WHERE {_OF_PAIR} AND {behind}{sql} "
            f"ORDER BY {order} LIMIT 1"
        )
        found: dict[str, int] = {}
        with connection.cursor() as cursor:
            while len(found) < most:
                cursor.execute(step, [*pair, key, *params])
                row = cursor.fetchone()
                if row is None:
                    break
                key, found[row[0]] = row
        return found

    def _share(self, pair: Pair, keys: Sequence[str], starts: int) -> dict[str, int]:
        """Give out so many starts, turn by turn, from the first of the keys on."""
        turns = dict.fromkeys(keys, 0)
        while starts > 0:
            for key in keys:
                of = (pair, key)
                left = self._left.pop(of, 0.0)
                if left < 1.0:
                    left += weight_of(key)
                taken = min(int(left), starts)
                turns[key] += taken
                starts -= taken
                if left - taken > 0 and len(self._left) < MOST_LEFT:
                    self._left[of] = left - taken
                self._last[pair] = key
                if starts <= 0:
                    break
        return turns

    def _locked(self, by_key: dict[str, int], turns: dict[str, int]) -> list[Lane]:
        wanted = {pk: turns[key] for key, pk in by_key.items() if turns[key]}
        connection = connections[self.using]
        these, params = any_of("l.id", connection, list(wanted))
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS} FROM cq_lanes l WHERE {these} AND {OPEN}"
                f"{_skip(connection)}",
                params,
            )
            found = {row[0]: _lane(row) for row in cursor.fetchall()}
        return [
            found[pk]._replace(turn=turn) for pk, turn in wanted.items() if pk in found
        ]


_COLUMNS = "l.id, l.queue, l.priority, l.lane, l.name, l.options"


def _lane(row: tuple[Any, ...]) -> Lane:
    pk, queue, priority, lane, name, options = row
    return Lane(pk, queue, priority, uuid_of(lane), name, _read(options), 0)


def _read(options: Any) -> Any:
    # Django has psycopg leave JSON as text, as the other drivers do.
    return json.loads(options) if isinstance(options, (str, bytes)) else options


def _skip(connection: Any) -> str:
    skips = connection.features.has_select_for_update_skip_locked
    return " FOR UPDATE SKIP LOCKED" if skips else ""
