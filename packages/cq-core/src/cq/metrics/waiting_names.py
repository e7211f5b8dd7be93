"""The names of what waits in a queue: of those that will be claimed first."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.tables import slices
from cq.tables.queries import tasks
from cq.tables.together import compiled

if TYPE_CHECKING:
    from collections.abc import Collection

#: Tasks that are looked at in all, of each queue an equal share.
MOST_LOOKED_AT = 10_000

Named = list[tuple[str, int]]


def waiting_names(using: str, queues: Collection[str]) -> dict[str, Named]:
    """Return the names of what waits in these queues, the most first; one statement."""
    found: defaultdict[str, Named] = defaultdict(list)
    if not queues:
        return found
    arms: list[str] = []
    params: list[Any] = []
    for queue in sorted(queues):
        waiting = slices.queued(tasks(using))
        # As a range, for what has one value is not put in order by it.
        first = waiting.filter(queue__gte=queue, queue__lte=queue)
        share = MOST_LOOKED_AT // len(queues)
        sql, values = compiled(using, first.values_list("queue", "name")[:share])
        arms.append(
            f"SELECT w.queue, w.name, COUNT(*) AS n FROM ({sql}) w "
            "GROUP BY w.queue, w.name"
        )
        params.extend(values)
    with connections[using].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(arms), params)
        rows = cursor.fetchall()
    for queue, name, count in sorted(rows, key=lambda row: (-row[2], row[1])):
        found[queue].append((name, count))
    return dict(found)
