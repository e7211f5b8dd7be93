"""The pairs of queue and priority that have an open lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.workers.ready_pairs import THERE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cq.workers.ready_pairs import Pair

#: SQL: a lane is open.
OPEN = "l.held_by IS NULL"


def open_pairs(
    using: str, queues: Collection[str] | None, exclude: Collection[str] | None
) -> list[Pair]:
    """Return the pairs of queue and priority with an open lane, the highest first.

    queues, exclude: names of queues to look at, or not to; None: all.
    """
    connection = connections[using]
    with connection.cursor() as cursor:
        rows = list(_pairs(connection, cursor))
    found = [
        (queue, priority)
        for queue, priority in rows
        if (queues is None or queue in queues) and queue not in (exclude or ())
    ]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


# Each step is one descent into ``cq_lane_open``, however many lanes a pair has.
_PAIRS = f"""
    WITH RECURSIVE queues(queue) AS (
        SELECT (SELECT l.queue FROM cq_lanes l WHERE {OPEN} ORDER BY l.queue LIMIT 1)
        UNION ALL
        SELECT (
            SELECT l.queue FROM cq_lanes l WHERE {OPEN} AND l.queue > q.queue
            ORDER BY l.queue LIMIT 1
        )
        FROM queues q WHERE q.queue IS NOT NULL
    ),
    pairs(queue, priority) AS (
        SELECT q.queue, (
            SELECT l.priority FROM cq_lanes l WHERE {OPEN} AND l.queue = q.queue
            ORDER BY l.priority DESC LIMIT 1
        )
        FROM queues q WHERE q.queue IS NOT NULL
        UNION ALL
        SELECT p.queue, (
            SELECT l.priority FROM cq_lanes l WHERE {OPEN} AND l.queue = p.queue
            AND l.priority < p.priority ORDER BY l.priority DESC LIMIT 1
        )
        FROM pairs p WHERE {THERE}
    )
    SELECT p.queue, p.priority FROM pairs p WHERE {THERE}
"""


def _pairs(connection: Any, cursor: Any) -> Iterator[Pair]:
    if connection.vendor != "mysql":
        cursor.execute(_PAIRS)
        yield from cursor.fetchall()
        return
    where = "TRUE"
    params: list[Any] = []
    while True:
        cursor.execute(
            "SELECT l.queue, l.priority FROM cq_lanes l FORCE INDEX (cq_lane_turns) "
            f"WHERE {OPEN} AND {where} ORDER BY l.queue, l.priority LIMIT 1",
            params,
        )
        row = cursor.fetchone()
        if row is None:
            return
        yield row
        where = "(l.queue > %s OR (l.queue = %s AND l.priority > %s))"
        params = [row[0], *row]
