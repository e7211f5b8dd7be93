"""How many tasks are queued, and how long the oldest of them has been ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.statements import none_of
from cq.tables.readiness import READY_SQL
from cq.workers.ready_pairs import ALL_QUEUES, PAIRS, THERE
from cq.workers.waiting.pairs import FIRST_LANE, waiting_pairs

from .families import FRONT, MOST_ASKED, MOST_QUEUED
from .lanes import Asked, oldest_of_lanes
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
# equal to one, PostgreSQL might read all tasks by their ids.
_COUNT = (
    "(SELECT COUNT(*) FROM (SELECT 1 FROM cq_tasks t{hint} "
    "WHERE t.status = 'QUEUED' AND t.queue = {queue} "
    "ORDER BY {order}, t.lane, t.id LIMIT {share}) c)"
)
# Those without a lane, which stand together however many others there are.
_OLDEST = (
    "SELECT MIN({oldest}) FROM (SELECT {ready} AS ready{name} FROM cq_tasks t{hint} "
    "WHERE t.status = 'QUEUED' AND t.queue = {queue} AND t.priority = {priority} "
    "AND t.lane IS NULL ORDER BY {order} LIMIT {limit}) h"
)
_QUEUES = "(SELECT DISTINCT queue FROM chosen)"
_SHARE = (
    "(SELECT CASE WHEN COUNT(*) * {each} <= {all} THEN {each} ELSE {all} / COUNT(*) END "
    f"FROM {_QUEUES} d)"
)
_FRONT = (
    f"(SELECT CASE WHEN COUNT(*) * {FRONT} > {MOST_ASKED} THEN {FRONT} "
    f"ELSE {MOST_ASKED} / COUNT(*) END FROM chosen d)"
)
_STATEMENT = (
    PAIRS
    # PostgreSQL looks for no more pairs than it is asked for.
    + ", chosen AS (SELECT p.queue, p.priority FROM pairs p "
    f"WHERE {THERE} LIMIT {MOST_PAIRS}) "
    "SELECT p.queue, {share}, 0, ({oldest_of_pair}), ({lane}) FROM chosen p "
    "UNION ALL SELECT s.queue, {share}, {count}, NULL, NULL "
    f"FROM {_QUEUES} s"
).format(
    queues=ALL_QUEUES,
    lane=FIRST_LANE,
    share="{share}",  # this and `asked` are put in by each call
    oldest_of_pair=_OLDEST.format(
        oldest="{oldest}",
        name="{name}",
        ready=READY_SQL,
        hint="",
        queue="p.queue",
        priority="p.priority",
        order="t.lane, t.id",
        limit=_FRONT,
    ),
    count=_COUNT.format(
        hint="", queue="s.queue", order="t.priority DESC", share="{share}"
    ),
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

    Three more where there are tasks with lanes. without: names of tasks that are not asked
    since when they are ready.
    """
    connection = connections[using]
    each, together = most
    asked = Asked()
    if without:
        others, params = none_of("h.name", connection, without)
        oldest = f"CASE WHEN {others} THEN h.ready END"
        asked = Asked(oldest, ", t.name AS name", tuple(params))
    if connection.vendor == "mysql":
        rows, pairs = _stepwise(using, most, asked)
    else:
        sql = _STATEMENT.format(
            share=_SHARE.format(each=each, all=together),
            oldest=asked.oldest,
            name=asked.name,
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, asked.params or None)
            rows = cursor.fetchall()
        pairs = sum(not count for _, _, count, _, _ in rows)
    found: dict[str, Queued] = {}
    have_lanes: set[str] = set()
    for queue, share, count, text, lane in rows:
        before = found.get(queue, Queued(0, None, capped=False))
        # Where no more pairs were looked for, there may be some.
        capped = before.capped or count >= share or pairs >= MOST_PAIRS
        ready = _earlier(before.ready, aware(text))
        found[queue] = Queued(before.tasks + count, ready, capped)
        if lane is not None:
            have_lanes.add(queue)
    for queue, ready in oldest_of_lanes(using, sorted(have_lanes), asked).items():
        of = found[queue]
        found[queue] = of._replace(ready=_earlier(of.ready, ready))
    return found


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(filter(None, (one, other)), default=None)


def _stepwise(
    using: str, most: Most, asked: Asked
) -> tuple[list[tuple[str, int, int, Any, Any]], int]:
    """As `_STATEMENT`, by a statement for each pair and queue; and how many pairs.

    See `cq.workers.ready_pairs`. There the index has all in ascending order, and is what
    a query is told to take.
    """
    pairs = waiting_pairs(using)[:MOST_PAIRS]
    queues = sorted({pair.queue for pair in pairs})
    each, together = most
    share = min(each, together // max(1, len(queues)))
    front = max(FRONT, MOST_ASKED // max(1, len(pairs)))
    rows: list[tuple[str, int, int, Any, Any]] = []
    hint = " FORCE INDEX (cq_ready)"
    oldest = _OLDEST.format(
        oldest=asked.oldest,
        name=asked.name,
        ready=READY_SQL,
        hint=hint,
        queue="%s",
        priority="%s",
        # By what is equal to one value as well, MariaDB would put all in order.
        order="t.id",
        limit=front,
    )
    count = _COUNT.format(hint=hint, queue="%s", order="t.priority", share=share)
    with connections[using].cursor() as cursor:
        for pair in pairs:
            ready = None
            if pair.first is not None:
                cursor.execute(oldest, [*asked.params, pair.queue, pair.priority])
                [ready] = cursor.fetchone()
            rows.append((pair.queue, share, 0, ready, pair.has_lanes or None))
        for queue in queues:
            cursor.execute(f"SELECT {count}", [queue])
            rows.append((queue, share, *cursor.fetchone(), None, None))
    return rows, len(pairs)
