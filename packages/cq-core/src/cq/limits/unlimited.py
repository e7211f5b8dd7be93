"""The claims of tasks with lanes for who runs one after the other, and keeps no limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections
from django.db.models import Q

from cq import lifecycle
from cq.tables.limits.queries import lanes, newcomers
from cq.workers.ready_pairs import first_of_each
from cq.workers.releases import of_none

from .claims.heads import read_heads
from .claims.turns import Lane

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from cq.tables.rows import TaskRow

#: Lanes that are looked at for a task, for what a row says may be claimed by now.
MOST_LANES = 20
#: By priority, and then by age.
_Order = tuple[int, "UUID"]


def claim_before_others(
    using: str,
    worker: int,
    queues: Collection[str] | None = None,
    exclude: Collection[str] = (),
    without: Collection[str] = (),
    now: datetime | None = None,
    not_of: Sequence[str] = (),
) -> list[TaskRow]:
    """Claim the first task with a lane, where none without one comes before it.

    queues, exclude: names of queues to claim from, or not to. without: names of tasks not
    to claim; not_of: releases.
    """
    where = Q() if queues is None else Q(queue__in=list(queues))
    where &= ~Q(queue__in=list(exclude)) & ~Q(name__in=list(without))
    firsts = (_newcomer(using, where), _listed(using, where, not_of, now))
    first = min(filter(None, firsts), default=None)
    if first is None:
        return []
    others = first_of_each(using, None if queues is None else list(queues), exclude)
    if others and (-others[0][0][1], others[0][1]) < first:
        return []
    sql, params = of_none(connections[using], not_of) if not_of else ("1 = 1", [])
    where_sql = f"lane IS NOT NULL AND {sql}"
    return lifecycle.claim(using, worker, where_sql, params, 1, now, ids=[first[1]])


def _newcomer(using: str, where: Q) -> _Order | None:
    rows = newcomers(using).filter(where).order_by("-priority", "pk")
    row = rows.values_list("priority", "pk").first()
    return None if row is None else (-row[0], row[1])


def _listed(
    using: str, where: Q, not_of: Sequence[str], now: datetime | None
) -> _Order | None:
    for row in lanes(using).filter(where).order_by("-priority", "head")[:MOST_LANES]:
        lane = Lane(row.pk, row.queue, row.priority, row.lane, row.name, row.options, 1)
        [heads] = read_heads(using, [(lane, 1)], not_of, now).values()
        if heads:
            return (-row.priority, heads[0].id)
    return None
