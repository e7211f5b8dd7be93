"""The pairs that have work, and where each of them begins and ends.

A pair is a (queue, priority) under which something is QUEUED. The index ``cq_ready``
starts with both, so the pairs are found by jumping from one to the next. Behind them it
has the lane: the tasks of one pair that have none, which are those that are claimed from
here, stand together, in the order of their ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db.statements import uuid_of, uuid_param
from cq.lifecycle.precedence import HIGHEST, LOWEST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from uuid import UUID

Pair = tuple[str, int]

_QUEUED = "FROM cq_tasks t WHERE t.status = 'QUEUED'"

# Each step is one descent into ``cq_ready``, however much stands between two pairs. The
# orders are such as no other index gives: by the primary key alone PostgreSQL might read
# all finished tasks before it comes to one that is queued.
ALL_QUEUES = f"""
    SELECT (SELECT t.queue {_QUEUED} ORDER BY t.queue LIMIT 1) AS queue
    UNION ALL
    SELECT (SELECT t.queue {_QUEUED} AND t.queue > q.queue ORDER BY t.queue LIMIT 1)
    FROM queues q WHERE q.queue IS NOT NULL
"""

#: SQL: whether there is a pair, and not the NULL behind the last one of a queue. All
#: priorities are within this range, of which PostgreSQL expects one row in 200. Were it
#: asked for what is not NULL, it would expect ten thousand pairs, and so much work with
#: each that it compiled the statement (JIT), which takes longer than ten of them.
THERE = f"p.priority BETWEEN {LOWEST} AND {HIGHEST}"

#: The beginning of a statement, with `queues` and, behind the last of each, a NULL.
PAIRS = f"""
    WITH RECURSIVE queues(queue) AS ({{queues}}),
    pairs(queue, priority) AS (
        SELECT q.queue, (
            SELECT t.priority {_QUEUED} AND t.queue = q.queue
            ORDER BY t.priority DESC LIMIT 1
        )
        FROM queues q WHERE q.queue IS NOT NULL
        UNION ALL
        SELECT p.queue, (
            SELECT t.priority {_QUEUED} AND t.queue = p.queue AND t.priority < p.priority
            ORDER BY t.priority DESC LIMIT 1
        )
        FROM pairs p WHERE {THERE}
    )
"""

_FIRST_OF_EACH = f"""
    {PAIRS}
    SELECT p.queue, p.priority, (
        SELECT t.id {_QUEUED} AND t.queue = p.queue AND t.priority = p.priority
        AND t.lane IS NULL ORDER BY t.lane, t.id LIMIT 1
    )
    FROM pairs p WHERE {THERE}
"""


def first_of_each(
    using: str, queues: Sequence[str] | None, exclude: Collection[str] | None
) -> list[tuple[Pair, UUID]]:
    """Return each pair with the id of its first task, in the order to claim them.

    Of the tasks without a lane, and of the pairs that have some.
    """
    if queues is not None and not queues:
        return []
    names = None if queues is None else sorted(set(queues))
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            rows = [row[:3] for row in first_of_each_stepwise(cursor, names)]
        else:
            source = " UNION ALL ".join(
                ["SELECT CAST(%s AS varchar)"] * len(names or ())
            )
            cursor.execute(
                _FIRST_OF_EACH.format(queues=source or ALL_QUEUES), names or []
            )
            rows = cursor.fetchall()
    found = [
        ((queue, priority), uuid_of(head))
        for queue, priority, head in rows
        if head is not None and queue not in (exclude or ())
    ]
    return sorted(found, key=lambda row: (-row[0][1], row[1]))


def first_of_each_stepwise(
    cursor: Any, names: Sequence[str] | None
) -> Iterator[tuple[str, int, Any, Any]]:
    """Yield as `_FIRST_OF_EACH`, by a statement for each step; and a lane where all have one.

    MySQL bounds no index by what the row before has, and would read all that is queued.
    """
    after = "t.queue = %s AND t.priority > %s"
    for name in [None] if names is None else names:
        # By what is equal to one value as well, MariaDB would put all in order.
        order = "t.queue, t.priority" if name is None else "t.priority"
        where, params = ("TRUE", []) if name is None else ("t.queue = %s", [name])
        while row := first_on_mysql(cursor, where, params, order):
            queue, priority, head, lane = row
            if lane is not None:
                # NULL comes first, so no task of this pair is without one.
                head = None
            yield queue, priority, head, lane
            where, params = after, [queue, priority]
            if name is None:
                where, params = f"(t.queue > %s OR ({after}))", [queue, *params]


def first_on_mysql(cursor: Any, where: str, params: list[Any], order: str) -> Any:
    """Return queue, priority, id and lane of the first that is QUEUED, in some order."""
    order = ", ".join(filter(None, (order, "t.lane, t.id")))
    cursor.execute(
        "SELECT t.queue, t.priority, t.id, t.lane "
        "FROM cq_tasks t FORCE INDEX (cq_ready) "
        f"WHERE t.status = 'QUEUED' AND {where} "
        f"ORDER BY {order} LIMIT 1",
        params,
    )
    return cursor.fetchone()


def last_of_pair(using: str, pair: Pair) -> UUID | None:
    """Return the id of the last task of a pair without a lane; None: there is none."""
    queue, priority = pair
    connection = connections[using]
    hint, order = "", "t.lane DESC, t.id DESC"
    if connection.vendor == "mysql":
        hint, order = "FORCE INDEX (cq_ready) ", "t.id DESC"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t.id FROM cq_tasks t {hint}WHERE t.status = 'QUEUED' "
            "AND t.queue = %s AND t.priority = %s AND t.lane IS NULL "
            f"ORDER BY {order} LIMIT 1",
            [queue, priority],
        )
        row = cursor.fetchone()
    return uuid_of(row[0]) if row else None


def part_of_pair(
    using: str, pair: Pair, after: UUID, most: int
) -> list[tuple[UUID, str]]:
    """Return the ids and names of the tasks of a pair behind an id, `most` at most.

    Of those without a lane.
    """
    queue, priority = pair
    connection = connections[using]
    hint, order = "", "t.lane, t.id"
    if connection.vendor == "mysql":
        hint, order = "FORCE INDEX (cq_ready) ", "t.id"
    with connection.cursor() as cursor:
        # By the lane, too: the primary key has no such order, and PostgreSQL might read all
        # that has finished since by that.
        cursor.execute(
            f"SELECT t.id, t.name FROM cq_tasks t {hint}WHERE t.status = 'QUEUED' "
            "AND t.queue = %s AND t.priority = %s AND t.lane IS NULL AND t.id > %s "
            f"ORDER BY {order} LIMIT {most}",
            [queue, priority, uuid_param(connection, after)],
        )
        return [(uuid_of(pk), name) for pk, name in cursor.fetchall()]
