"""Lanes that a key holds, and their opening when the key lets something start again.

A lane is held by the claim that finds its key shut, in the transaction that finds it. What
opens the key may be committed at the same moment: so who gives a place back looks for held
lanes after that is committed, and who has held a lane looks for a free place after that
is. One of them sees the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections
from django.db.models import Count

from cq.db.clock import Moment
from cq.db.statements import any_of, none_of
from cq.tables.limits.queries import limit_keys, places

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

#: Keys that are looked at together, at most.
MOST_KEYS = 500


class Served(NamedTuple):
    """What one who opens lanes can claim from. queues: None: all but those of `exclude`."""

    queues: Collection[str] | None = None
    exclude: Collection[str] = ()
    without_names: Collection[str] = ()


def open_lanes(using: str, rooms: Mapping[str, int], served: Served = Served()) -> int:  # noqa: B008
    """Open as many lanes as each key has room for, the most urgent first; how many.

    First those that the caller can claim from, for nobody else may come by.
    """
    opened = 0
    for key, room in sorted(rooms.items()):
        if room <= 0:
            continue
        mine = _open(using, key, room, *_of_served(using, served))
        opened += mine
        if mine < room and served != Served():
            opened += _open(using, key, room - mine, "", [])
    return opened


def _of_served(using: str, served: Served) -> tuple[str, list[Any]]:
    connection = connections[using]
    parts = []
    if served.queues is not None:
        parts.append(any_of("l.queue", connection, sorted(served.queues)))
    if served.exclude:
        parts.append(none_of("l.queue", connection, sorted(served.exclude)))
    if served.without_names:
        parts.append(none_of("l.name", connection, sorted(served.without_names)))
    sql = "".join(f" AND {part}" for part, _ in parts)
    return sql, [param for _, some in parts for param in some]


def _open(using: str, key: str, room: int, sql: str, params: list[Any]) -> int:
    connection = connections[using]
    mysql = connection.vendor == "mysql"
    order = "l.priority DESC, l.head" if mysql else "l.held_by, l.priority DESC, l.head"
    hint = " FORCE INDEX (cq_lane_held)" if mysql else ""
    skips = connection.features.has_select_for_update_skip_locked and not mysql
    chosen = (
        f"SELECT l.id FROM cq_lanes l{hint} WHERE l.held_by = %s{sql} ORDER BY {order} "
        f"LIMIT {int(room)}{' FOR UPDATE SKIP LOCKED' if skips else ''}"
    )
    params = [key, *params]
    with connection.cursor() as cursor:
        if mysql:
            # No LIMIT may stand within an IN there.
            cursor.execute(chosen, params)
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return 0
            these, params = any_of("id", connection, ids)
            where, params = f"{these} AND held_by = %s", [*params, key]
        else:
            where = f"id IN ({chosen})"
        cursor.execute(f"UPDATE cq_lanes SET held_by = NULL WHERE {where}", params)
        return int(cursor.rowcount)


def free_again(using: str, full: Mapping[str, int]) -> dict[str, int]:
    """Return which keys that were found full have room by now. full: their concurrency."""
    if not full:
        return {}
    rows = places(using).filter(key__in=list(full)).values("key")
    taken = dict(rows.annotate(taken=Count("number")).values_list("key", "taken"))
    rooms = {key: most - taken.get(key, 0) for key, most in full.items()}
    return {key: room for key, room in rooms.items() if room > 0}


def due(using: str, now: datetime | None = None) -> list[str]:
    """Return the keys whose moment to open has come, and forget those moments."""
    late = limit_keys(using).filter(opens__isnull=False, opens__lte=Moment(now))
    keys = list(late.order_by("opens").values_list("key", flat=True)[:MOST_KEYS])
    return [key for key in keys if late.filter(key=key).update(opens=None)]


def open_due(
    using: str,
    now: datetime | None = None,
    served: Served = Served(),  # noqa: B008
) -> int:
    """Open a lane of each key whose moment has come; how many.

    One alone: whoever claims from it opens more where the key lets more start.
    """
    return open_lanes(using, dict.fromkeys(due(using, now), 1), served)


def any_left(using: str, served: Served) -> bool:
    """Tell whether there is a lane, open or held, that somebody can claim from."""
    sql, params = _of_served(using, served)
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM cq_lanes l WHERE 1 = 1{sql} LIMIT 1", params)
        return cursor.fetchone() is not None
