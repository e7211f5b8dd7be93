"""Since when the oldest task with a lane is ready, by queue: of the oldest lanes of each."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.statements import uuid_param
from cq.tables.readiness import READY_SQL
from cq.workers.waiting.lanes import oldest_lanes

from .families import MOST_ASKED
from .moments import aware

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

#: Lanes that are looked into, of each queue an equal share, but at least one.
MOST_LANES = 100
#: Tasks of a lane that are asked at least. What was tried again, at the front, became
#: ready later than others behind it.
FEWEST_OF_LANE = 10
#: Lanes that one statement asks; SQLite takes no more than 500 arms.
LANES_AT_ONCE = 200


class Asked(NamedTuple):
    """What is asked of each task `h`, as SQL. name: a column that this needs."""

    oldest: str = "h.ready"
    name: str = ""
    params: tuple[Any, ...] = ()


def oldest_of_lanes(
    using: str, queues: Sequence[str], asked: Asked
) -> dict[str, datetime]:
    """Return since when the oldest with a lane is ready in those queues that have some."""
    if not queues:
        return {}
    connection = connections[using]
    lanes = oldest_lanes(using, queues, max(1, MOST_LANES // len(queues)))
    share = max(FEWEST_OF_LANE, MOST_ASKED // max(1, len(lanes)))
    hint = " FORCE INDEX (cq_ready)" if connection.vendor == "mysql" else ""
    # The lane as a range, for what has one value is not put in order by it: then the
    # primary key would do.
    arm = (
        f"SELECT {{number}} AS arm, MIN({asked.oldest}) FROM "
        f"(SELECT {READY_SQL} AS ready{asked.name} FROM cq_tasks t{hint} "
        "WHERE t.status = 'QUEUED' AND t.queue = %s AND t.priority = %s "
        "AND t.lane >= %s AND t.lane <= %s "
        f"ORDER BY t.lane, t.id LIMIT {share}) h"
    )
    found: defaultdict[str, list[datetime]] = defaultdict(list)
    for start in range(0, len(lanes), LANES_AT_ONCE):
        some = lanes[start : start + LANES_AT_ONCE]
        params: list[Any] = []
        for queue, priority, lane in some:
            own = uuid_param(connection, lane)
            params += [*asked.params, queue, priority, own, own]
        sql = " UNION ALL ".join(arm.format(number=n) for n in range(len(some)))
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows = cursor.fetchall()
        for number, text in rows:
            ready = aware(text)
            if ready is not None:
                found[some[number][0]].append(ready)
    return {queue: min(moments) for queue, moments in found.items()}
