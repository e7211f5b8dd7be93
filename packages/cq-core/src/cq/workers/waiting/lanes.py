"""The lanes that have something QUEUED: those that are listed, and newcomers'.

A lane has its row in ``cq_lanes`` as soon as a worker has admitted its first task. What no
worker has come to yet is found among the tasks, by the index of such newcomers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections

from cq.db.statements import by_index, uuid_of
from cq.tables.limits.queries import lanes, newcomers

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Queue, priority, and what its tasks have as `lane`.
Lane = tuple[str, int, UUID]

#: Newcomers that are looked at.
MOST_NEWCOMERS = 1_000
#: Queues that one statement asks; SQLite takes no more than 500 arms.
QUEUES_AT_ONCE = 200


def waiting_lanes(using: str, most: int) -> list[Lane] | None:
    """Return the lanes of all queues; None where there may be more than `most`."""
    found = set(lanes(using).values_list("queue", "priority", "lane")[: most + 1])
    new = _newcomers(using)
    found.update(new)
    cut = len(found) > most or len(new) >= MOST_NEWCOMERS
    return None if cut else sorted(found)


def oldest_lanes(using: str, queues: Sequence[str], most: int) -> list[Lane]:
    """Return of each of these queues the `most` lanes whose first task is the oldest.

    And as many of those that newcomers are in, in no order.
    """
    # As a range, for what has one value is not put in order by it: few may be thought to
    # have it, and then all of them are read and put in order. SQLite takes no parentheses
    # around a part that has a limit.
    arm = (
        "SELECT * FROM (SELECT l.queue, l.priority, l.lane FROM cq_lanes l "
        "WHERE l.queue >= %s AND l.queue <= %s "
        f"ORDER BY l.queue, l.head LIMIT {int(most)}) o"
    )
    found: dict[Lane, None] = {}
    for start in range(0, len(queues), QUEUES_AT_ONCE):
        some = queues[start : start + QUEUES_AT_ONCE]
        with connections[using].cursor() as cursor:
            cursor.execute(
                " UNION ALL ".join([arm] * len(some)),
                [bound for queue in some for bound in (queue, queue)],
            )
            for queue, priority, lane in cursor.fetchall():
                found[queue, priority, uuid_of(lane)] = None
    new = Counter[str]()
    for lane in dict.fromkeys(_newcomers(using)):
        queue = lane[0]
        if queue in queues and lane not in found and new[queue] < most:
            new[queue] += 1
            found[lane] = None
    return list(found)


def _newcomers(using: str) -> list[Lane]:
    """Return the lanes of the first newcomers, of each as often as there are some."""
    # Their index alone has this order.
    rows = newcomers(using).order_by("lane", "pk")
    with by_index(using, "cq_newcomers"):
        found: Any = rows.values_list("queue", "priority", "lane")
        return list(found[:MOST_NEWCOMERS])
