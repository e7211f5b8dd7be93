"""Lanes that a key holds, and their opening when the key lets something start again.

A lane is held by the claim that finds its key shut, in the transaction that finds it. What
opens the key may be committed at the same moment: so who gives a place back looks for held
lanes after that is committed, and who has held a lane looks for a free place after that
is. One of them sees the other.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections
from django.db.models import Count

from cq.db.clock import Moment
from cq.db.statements import NOT_WAITING_FOR_THE_DISK, and_all, any_of, none_of
from cq.tables.limits.queries import limit_keys, places
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

#: Keys that are looked at together, at most.
MOST_KEYS = 500
#: How often it is tried again where another has just opened a lane.
ANOTHER_WAS_FASTER = 10


class Served(NamedTuple):
    """What one who opens lanes can claim from. queues: None: all but those of `exclude`."""

    queues: Collection[str] | None = None
    exclude: Collection[str] = ()
    without_names: Collection[str] = ()


#: Of one who can claim from all there is.
EVERYTHING = Served()


def open_lanes(
    using: str, rooms: Mapping[str, int], served: Served = EVERYTHING
) -> int:
    """Open as many lanes as each key has room for, the most urgent first; how many.

    First those that the caller can claim from, for nobody else may come by. All are rung
    for others, for whom else it opens some.
    """
    rooms = {key: room for key, room in sorted(rooms.items()) if room > 0}
    opened = for_others = 0
    if rooms and connections[using].vendor == "postgresql":
        at_once = _open_at_once(using, rooms, *_of_served(using, served))
        opened = at_once.total()
        rooms = _still_holding(
            using, {key: room - at_once[key] for key, room in rooms.items()}
        )
    for key, room in rooms.items():
        mine = _open(using, key, room, *_of_served(using, served))
        opened += mine
        if mine < room and served != EVERYTHING:
            for_others += _open(using, key, room - mine, "", [])
    if for_others:
        doorbell.ring(using, [(doorbell.LANES, "")])
    return opened + for_others


def _open_at_once(
    using: str, rooms: Mapping[str, int], sql: str, params: list[Any]
) -> Counter[str]:
    """Open what nobody has locked, by one statement; how many of each key."""
    connection = connections[using]
    held = (
        f"SELECT l.id FROM cq_lanes l WHERE l.held_by = k.key{sql} "
        "ORDER BY l.held_by, l.priority DESC, l.head LIMIT k.room FOR UPDATE SKIP LOCKED"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH chosen AS MATERIALIZED (SELECT k.key, h.id FROM "
            "unnest(%s::varchar[], %s::integer[]) AS k(key, room) "
            f"CROSS JOIN LATERAL ({held}) h) "
            "UPDATE cq_lanes SET held_by = NULL FROM chosen "
            "WHERE cq_lanes.id = chosen.id "
            f"RETURNING chosen.key, {NOT_WAITING_FOR_THE_DISK}",
            [list(rooms), list(rooms.values()), *params],
        )
        return Counter(row[0] for row in cursor.fetchall())


def _still_holding(using: str, rooms: Mapping[str, int]) -> dict[str, int]:
    """Return those of some keys with room that hold a lane: others serve it, or lock it."""
    keys = [key for key, room in rooms.items() if room > 0]
    if not keys:
        return {}
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT k.key FROM unnest(%s::varchar[]) AS k(key) WHERE EXISTS "
            "(SELECT 1 FROM cq_lanes l WHERE l.held_by = k.key)",
            [keys],
        )
        return {row[0]: rooms[row[0]] for row in cursor.fetchall()}


def _of_served(using: str, served: Served) -> tuple[str, list[Any]]:
    connection = connections[using]
    parts = []
    if served.queues is not None:
        parts.append(any_of("l.queue", connection, sorted(served.queues)))
    if served.exclude:
        parts.append(none_of("l.queue", connection, sorted(served.exclude)))
    if served.without_names:
        parts.append(none_of("l.name", connection, sorted(served.without_names)))
    return and_all(parts)


def _open(using: str, key: str, room: int, sql: str, params: list[Any]) -> int:
    connection = connections[using]
    if connection.vendor == "mysql":
        return _open_one_by_one(using, key, room, sql, params)
    skips = connection.features.has_select_for_update_skip_locked
    chosen = _held(connection, sql, room, " FOR UPDATE SKIP LOCKED" if skips else "")
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE cq_lanes SET held_by = NULL WHERE id IN ({chosen})",
            [key, *params],
        )
        opened = int(cursor.rowcount)
    if opened < room and skips:
        opened += _open_one_by_one(using, key, room - opened, sql, params)
    return opened


def _open_one_by_one(
    using: str, key: str, room: int, sql: str, params: list[Any]
) -> int:
    """Open lanes, and wait for those that somebody has locked: he may not open them.

    Who admits newcomers has locked lanes for a moment, open or held. Whoever locks several
    does so in an order of his own, so nothing else is locked while one of them is waited for.
    """
    connection = connections[using]
    opened = 0
    with connection.cursor() as cursor:
        # Another may be faster with each of them, but not for ever.
        for _ in range(room + ANOTHER_WAS_FASTER):
            if opened >= room:
                break
            cursor.execute(_held(connection, sql, 1), [key, *params])
            row = cursor.fetchone()
            if row is None:
                break
            cursor.execute(
                "UPDATE cq_lanes SET held_by = NULL WHERE id = %s AND held_by = %s",
                [row[0], key],
            )
            opened += int(cursor.rowcount)
    return opened


def _held(connection: Any, sql: str, most: int, lock: str = "") -> str:
    """Return SQL for the ids of lanes that a key holds, the most urgent first."""
    order, hint = "l.held_by, l.priority DESC, l.head", ""
    if connection.vendor == "mysql":
        order, hint = "l.priority DESC, l.head", " FORCE INDEX (cq_lane_held)"
    return (
        f"SELECT l.id FROM cq_lanes l{hint} WHERE l.held_by = %s{sql} ORDER BY {order} "
        f"LIMIT {int(most)}{lock}"
    )


def free_again(using: str, full: Mapping[str, int]) -> dict[str, int]:
    """Return which keys that were found full have room by now. full: their concurrency."""
    if not full:
        return {}
    rows = places(using).filter(key__in=list(full)).values("key")
    taken = dict(rows.annotate(taken=Count("number")).values_list("key", "taken"))
    rooms = {key: most - taken.get(key, 0) for key, most in full.items()}
    return {key: room for key, room in rooms.items() if room > 0}


def due(using: str, now: datetime | None = None) -> Iterator[str]:
    """Yield the keys whose moment to open has come, each once its moment is forgotten."""
    late = limit_keys(using).filter(opens__isnull=False, opens__lte=Moment(now))
    for key in list(late.order_by("opens").values_list("key", flat=True)[:MOST_KEYS]):
        if late.filter(key=key).update(opens=None):
            yield key


def any_left(using: str, served: Served) -> bool:
    """Tell whether there is a lane, open or held, that somebody can claim from."""
    sql, params = _of_served(using, served)
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM cq_lanes l WHERE 1 = 1{sql} LIMIT 1", params)
        return cursor.fetchone() is not None
