"""The names of what waits in a queue: of those that will be claimed first."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.tables import slices
from cq.tables.queries import tasks
from cq.tables.together import MOST_PARTS, compiled
from cq.workers.waiting.pairs import waiting_pairs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from django.db.models import QuerySet

#: Tasks that are looked at in all, of each queue an equal share.
MOST_LOOKED_AT = 10_000

Named = list[tuple[str, int]]


def waiting_names(using: str, queues: Collection[str]) -> dict[str, Named]:
    """Return the names of what waits in these queues, the most first.

    One statement; three where there are more than are looked at and some have lanes.
    """
    if not queues:
        return {}
    share = MOST_LOOKED_AT // len(queues)
    waiting = slices.queued(tasks(using))
    # As a range, for what has one value is not put in order by it.
    firsts = (
        waiting.filter(queue__gte=q, queue__lte=q)[:share] for q in sorted(queues)
    )
    counts, with_lanes = _counted(using, firsts)
    # The tasks of one lane stand together, and so may have taken the place of all others.
    crowded = {q for q in with_lanes if counts[q].total() >= share}
    if crowded:
        parts = _of_each_kind(using, crowded, share)
        counts.update(_counted(using, parts)[0])
    return {
        queue: sorted(names.items(), key=lambda one: (-one[1], one[0]))
        for queue, names in counts.items()
    }


def _of_each_kind(
    using: str, queues: Collection[str], share: int
) -> Iterable[QuerySet[Any, Any]]:
    """Yield those that will be claimed first of each pair, with lanes and without."""
    kinds = [
        (of, pair)
        for pair in waiting_pairs(using, queues)
        for of, there in (
            (slices.queued_of, pair.first is not None),
            (slices.with_lanes_of, pair.has_lanes),
        )
        if there
    ]
    number = Counter(pair.queue for _, pair in kinds)
    for of, pair in kinds[:MOST_PARTS]:
        rows = of(tasks(using), pair.queue, pair.priority)
        yield rows[: max(1, share // number[pair.queue])]


def _counted(
    using: str, parts: Iterable[QuerySet[Any, Any]]
) -> tuple[dict[str, Counter[str]], set[str]]:
    """Return how many of each name there are, by queue; and which queues have lanes."""
    arms: list[str] = []
    params: list[Any] = []
    for part in parts:
        sql, values = compiled(using, part.values_list("queue", "name", "lane"))
        arms.append(
            "SELECT w.queue, w.name, COUNT(*), COUNT(w.lane) "
            f"FROM ({sql}) w GROUP BY w.queue, w.name"
        )
        params.extend(values)
    if not arms:
        return {}, set()
    with connections[using].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(arms), params)
        rows = cursor.fetchall()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for queue, name, count, _ in rows:
        counts[queue][name] += count
    return dict(counts), {queue for queue, _, _, laned in rows if laned}
