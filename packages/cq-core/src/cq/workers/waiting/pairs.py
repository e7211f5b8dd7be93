"""The pairs under which anything is QUEUED, whether or not a worker may start it now.

`cq.workers.ready_pairs` has those of the claims: of tasks without a lane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.statements import uuid_of
from cq.workers.ready_pairs import (
    ALL_QUEUES,
    PAIRS,
    THERE,
    first_of_each_stepwise,
    first_on_mysql,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from uuid import UUID


class WaitingPair(NamedTuple):
    """A queue and a priority under which something is QUEUED."""

    queue: str
    priority: int
    #: Its first task that has no lane; None: all have one.
    first: UUID | None
    has_lanes: bool


_OF_PAIR = (
    "SELECT t.{column} FROM cq_tasks t WHERE t.status = 'QUEUED' AND t.queue = p.queue "
    "AND t.priority = p.priority AND t.lane IS {null} ORDER BY t.lane, t.id LIMIT 1"
)
#: SQL: the first task of a pair `p` that has no lane, and the first lane of it.
FIRST = _OF_PAIR.format(column="id", null="NULL")
FIRST_LANE = _OF_PAIR.format(column="lane", null="NOT NULL")


def waiting_pairs(
    using: str, queues: Collection[str] | None = None
) -> list[WaitingPair]:
    """Return each pair, the highest priority first, and the oldest of one.

    queues: those that are looked at; None: all. Pairs that have only tasks with lanes come
    last of their priority. One statement, but for MySQL.
    """
    if queues is not None and not queues:
        return []
    names = None if queues is None else sorted(set(queues))
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            rows = list(_stepwise(cursor, names))
        else:
            arms = ["SELECT CAST(%s AS varchar)"] * len(names or ())
            pairs = PAIRS.format(queues=" UNION ALL ".join(arms) or ALL_QUEUES)
            cursor.execute(
                f"{pairs} SELECT p.queue, p.priority, ({FIRST}), ({FIRST_LANE}) "
                f"FROM pairs p WHERE {THERE}",
                names or [],
            )
            rows = cursor.fetchall()
    found = [
        WaitingPair(queue, priority, first and uuid_of(first), lane is not None)
        for queue, priority, first, lane in rows
    ]
    return sorted(found, key=_order)


def _order(pair: WaitingPair) -> tuple[int, bool, int, str]:
    no_first = pair.first is None
    return -pair.priority, no_first, pair.first.int if pair.first else 0, pair.queue


def _stepwise(cursor: Any, names: list[str] | None) -> Iterator[tuple[Any, ...]]:
    """As the statement above, by two for each step; see `ready_pairs`."""
    behind = "t.queue = %s AND t.priority = %s AND t.lane IS NOT NULL"
    for queue, priority, first, lane in first_of_each_stepwise(cursor, names):
        if lane is None:
            row = first_on_mysql(cursor, behind, [queue, priority], "")
            yield queue, priority, first, row and row[-1]
        else:
            yield queue, priority, first, lane
