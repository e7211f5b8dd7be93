"""How many tasks are queued, and how long the oldest of them has been ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.statements import none_of
from cq.tables.readiness import READY_SQL
from cq.workers.ready_pairs import ALL_QUEUES, PAIRS, THERE, first_of_each

from .families import FRONT, MOST_ASKED, MOST_QUEUED
from .moments import aware

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

#: Pairs of queue and priority that are looked at, those of a thousand queues.
MOST_PAIRS = 1_000
#: Tasks of a queue that are counted at least.
FEWEST = MOST_QUEUED // MOST_PAIRS
#: Of a queue at most, and of all together.
Most = tuple[int, int]


class Queued(NamedTuple):
    """The queued tasks of one queue. ready: since when the oldest of those asked is.

    capped: there may be more.
    """

    tasks: int
    ready: datetime | None
    capped: bool


# An order that no other index gives, as in `cq.workers.ready_pairs`: were the priority
# equal to one, PostgreSQL might read all tasks by their ids. That tasks of a lower one are
# among the first hundred then does no harm, for they are of the same queue.
_ORDER = "t.priority DESC, t.id"
_COUNT = (
    "(SELECT COUNT(*) FROM (SELECT 1 FROM cq_tasks t{hint} "
    "WHERE t.status = 'QUEUED' AND t.queue = {queue} "
    "ORDER BY {order} LIMIT {share}) c)"
)
_OLDEST = (
    "(SELECT MIN({oldest}) FROM (SELECT {ready} AS ready{name} FROM cq_tasks t "
    "WHERE t.status = 'QUEUED' AND t.queue = s.queue AND {of} "
    "ORDER BY {order} LIMIT {limit}) h)"
)
_QUEUES = "(SELECT DISTINCT queue FROM chosen)"
_SHARE = (
    "(SELECT CASE WHEN COUNT(*) * {each} <= {all} THEN {each} ELSE {all} / COUNT(*) END "
    f"FROM {_QUEUES} d)"
)
#: Put in by each call.
_KEPT = {"oldest": "{oldest}", "name": "{name}"}
_STATEMENT = (
    PAIRS
    # PostgreSQL looks for no more pairs than it is asked for.
    + ", chosen AS (SELECT p.queue, p.priority FROM pairs p "
    f"WHERE {THERE} LIMIT {MOST_PAIRS}) "
    "SELECT s.queue, {share}, 0, {oldest_of_pair} FROM chosen s "
    "UNION ALL SELECT s.queue, {share}, {count}, {oldest_of_queue} "
    f"FROM {_QUEUES} s"
).format(
    queues=ALL_QUEUES,
    share="{share}",  # put in by each call
    oldest_of_pair=_OLDEST.format(
        ready=READY_SQL,
        of="t.priority <= s.priority",
        order=_ORDER,
        limit=FRONT,
        **_KEPT,
    ),
    oldest_of_queue=_OLDEST.format(
        ready=READY_SQL,
        of="TRUE",
        order=_ORDER,
        limit=f"(SELECT {MOST_ASKED} / COUNT(*) FROM {_QUEUES} d)",
        **_KEPT,
    ),
    count=_COUNT.format(hint="", queue="s.queue", order=_ORDER, share="{share}"),
)


def oldest_ready(
    using: str, without: Collection[str] = (), without_tasks: Collection[str] = ()
) -> datetime | None:
    """Return since when the oldest queued task is ready, of those that are asked.

    without, without_tasks: names of queues, and of tasks, that are left out.
    """
    found = queued(using, without=sorted(without_tasks))
    ready = (of.ready for queue, of in found.items() if queue not in without)
    return min(filter(None, ready), default=None)


def queued(
    using: str,
    most: Most = (MOST_QUEUED, MOST_QUEUED),
    without: Sequence[str] = (),
) -> dict[str, Queued]:
    """Return what is queued, by queue: one statement, but for MariaDB.

    without: names of tasks that are not asked since when they are ready.
    """
    connection = connections[using]
    each, together = most
    asked = {"oldest": "h.ready", "name": ""}
    params: list[Any] = []
    if without:
        others, params = none_of("h.name", connection, without)
        oldest = f"CASE WHEN {others} THEN h.ready END"
        asked = {"oldest": oldest, "name": ", t.name AS name"}
    if connection.vendor == "mysql":
        rows, pairs = _stepwise(using, most, asked, params)
    else:
        sql = _STATEMENT.format(share=_SHARE.format(each=each, all=together), **asked)
        with connection.cursor() as cursor:
            cursor.execute(sql, [*params, *params] or None)
            rows = cursor.fetchall()
        pairs = sum(not count for _, _, count, _ in rows)
    found: dict[str, Queued] = {}
    for queue, share, count, text in rows:
        before = found.get(queue, Queued(0, None, capped=False))
        ready = min(filter(None, (before.ready, aware(text))), default=None)
        # Where no more pairs were looked for, there may be some.
        capped = before.capped or count >= share or pairs >= MOST_PAIRS
        found[queue] = Queued(before.tasks + count, ready, capped)
    return found


def _stepwise(
    using: str, most: Most, asked: dict[str, str], params: list[Any]
) -> tuple[list[tuple[str, int, int, Any]], int]:
    """As `_STATEMENT`, by a statement for each pair and queue; and how many pairs.

    See `cq.workers.ready_pairs`. There the index has all in ascending order, and is what
    a query is told to take.
    """
    pairs = [pair for pair, _ in first_of_each(using, None, None)][:MOST_PAIRS]
    queues = sorted({queue for queue, _ in pairs})
    number = max(1, len(queues))
    each, together = most
    share, rows = min(each, together // number), []
    # The pairs of a queue come in the order in which they are claimed.
    left = dict.fromkeys(queues, MOST_ASKED // number)
    hint, order = " FORCE INDEX (cq_ready)", "t.priority, t.id"
    count = _COUNT.format(hint=hint, queue="%s", order=order, share=share)
    with connections[using].cursor() as cursor:
        for queue, priority in pairs:
            cursor.execute(
                f"SELECT MIN({asked['oldest']}), COUNT(*) FROM "
                f"(SELECT {READY_SQL} AS ready{asked['name']} FROM cq_tasks t{hint} WHERE t.status = 'QUEUED' AND t.queue = %s "
                f"AND t.priority = %s ORDER BY {order} LIMIT %s) h",
                [*params, queue, priority, max(FRONT, left[queue])],
            )
            ready, count_asked = cursor.fetchone()
            left[queue] -= count_asked
            rows.append((queue, share, 0, ready))
        for queue in queues:
            cursor.execute(f"SELECT {count}", [queue])
            rows.append((queue, share, *cursor.fetchone(), None))
    return rows, len(pairs)
