"""How many tasks are open but not queued, by queue, and since when those run that do."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import connections

from cq.status import ATTENTION, Status, sql_list

from .families import MOST_OPEN
from .moments import aware

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass
class StillOpen:
    """counts: by queue and status. running: when each began, by queue.

    capped: the statuses of which there may be more.
    """

    counts: Counter[tuple[str, Status]] = field(default_factory=Counter)
    running: defaultdict[str, list[datetime]] = field(
        default_factory=lambda: defaultdict(list)
    )
    capped: set[Status] = field(default_factory=set)


#: By status: the rows of the index that has it, as its condition says, in its order.
_INDEXED = {
    Status.RUNNING: ("t.worker_id IS NOT NULL", "t.worker_id"),
    Status.PENDING: ("t.status = 'PENDING'", "t.id"),
    Status.WAITING: ("t.status = 'WAITING'", "t.id"),
    Status.SUSPENDED: ("t.status = 'SUSPENDED'", "t.id"),
    # As a range, for what has one value is not put in order by it.
    Status.RETRY: (
        f"t.status IN ({sql_list(ATTENTION)}) "
        "AND t.status >= 'RETRY' AND t.status <= 'RETRY'",
        "t.status, t.id",
    ),
}


def _arm(status: Status, vendor: str) -> str:
    """Return the rows of one status as SQL: what for, queue, status, count, started."""
    hint, (where, order) = "", _INDEXED[status]
    if vendor == "mysql":
        # There the index of those that are queued has all others as well.
        hint, where, order = " FORCE INDEX (cq_ready)", f"t.status = '{status}'", ""
    order = f" ORDER BY {order}" if order else ""
    # Those that run are few, and each has its own beginning.
    own = "t.started" if status is Status.RUNNING else "NULL AS started"
    rows = (
        f"SELECT t.queue, t.status, {own} FROM cq_tasks t{hint} WHERE {where}{order} "
        f"LIMIT {MOST_OPEN}"
    )
    if status is Status.RUNNING:
        return (
            f"SELECT '{status}' AS arm, o.queue, o.status, 1, o.started FROM ({rows}) o"
        )
    return (
        f"SELECT '{status}', o.queue, o.status, COUNT(*), NULL FROM ({rows}) o "
        "GROUP BY o.queue, o.status"
    )


def still_open(using: str, statuses: Iterable[Status] = tuple(_INDEXED)) -> StillOpen:
    """Return what is open and not queued, of these statuses; one statement."""
    connection = connections[using]
    sql = " UNION ALL ".join(_arm(status, connection.vendor) for status in statuses)
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall()
    found = StillOpen()
    seen: Counter[Status] = Counter()
    for arm, queue, status, count, started in rows:
        seen[Status(arm)] += count
        if status == arm:
            found.counts[queue, Status(status)] += count
        began = aware(started)
        if began is not None:
            found.running[queue].append(began)
    found.capped = {status for status, count in seen.items() if count >= MOST_OPEN}
    return found
