"""The order of claims: the highest priority first, the oldest of that first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections

from cq import lifecycle
from cq.db.statements import any_of, none_of
from cq.definitions.registry import names_not_atomic

from .cursors import BeforeFirst, Cursors, Passing
from .picking import Picking
from .ready_pairs import Pair, first_of_each
from .releases import of_none

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from cq.db.statements import Condition
    from cq.tables.rows import TaskRow


def ready_pairs(
    using: str,
    queues: Sequence[str] | None = None,
    exclude: Collection[str] | None = None,
) -> list[Pair]:
    """Return the pairs that have work: by priority, then whose first task is oldest.

    queues, exclude: names of queues to look at, or not to; None: all.
    """
    return [pair for pair, _ in first_of_each(using, queues, exclude)]


def claim_next(
    using: str,
    worker: int,
    limit: int,
    queues: Sequence[str] | None = None,
    exclude: Collection[str] | None = None,
    cursors: Cursors | None = None,
    now: datetime | None = None,
    only: Sequence[str] | None = None,
    without: Sequence[str] | None = None,
    not_of: Sequence[str] = (),
    rerun_only: bool = False,
    passing: Passing | None = None,
) -> list[TaskRow]:
    """Claim at most `limit` tasks, pair by pair.

    Without `cursors` the table is looked at from the front, and a limit of 1 gives
    exactly the order (priority, id). With them, what is already behind a cursor costs
    nothing any more, however many dead entries the index has there; pairs that are
    not known yet are looked for when the known ones have no more, or by `learn_pairs`.

    only, without: names of tasks to claim, or not to. not_of: releases not to claim from.
    rerun_only: claim only what runs again by itself when its worker is lost.
    passing: names of tasks not to claim either, of which very many may stand in front.
    """
    paused = () if passing is None else passing.names
    if paused and only is not None:
        only = [name for name in only if name not in paused]
    if only is not None and not only:
        return []
    if paused:
        without = [*(without or ()), *sorted(paused)]
    picking = Picking(using, worker, limit, now, only, without, passing)
    if rerun_only:
        picking.filter("rerun_lost", [])
    if not_of:
        picking.filter(*of_none(connections[using], not_of))
    cursors = {} if cursors is None else cursors
    picking.claim_each(_in_order(cursors, picking.filtered_in), cursors)
    if picking.goes_on:
        found = first_of_each(using, queues, exclude)
        fresh = _add_unknown(found, cursors, picking.filtered_in)
        picking.claim_each(fresh, cursors)
    return picking.found


def learn_pairs(
    using: str,
    sets: Sequence[Cursors],
    queues: Sequence[str] | None = None,
    exclude: Collection[str] | None = None,
) -> None:
    """Add the pairs that have come since to sets of cursors that know some already.

    The next claim then begins with them, where their priority is higher.
    """
    found = first_of_each(using, queues, exclude)
    for cursors in sets:
        for filtered_in in {kind for _, _, kind in cursors}:
            _add_unknown(found, cursors, filtered_in)


def _add_unknown(
    found: list[tuple[Pair, UUID]], cursors: Cursors, filtered_in: bool
) -> list[Pair]:
    """Add a cursor for each pair that has none; return those pairs."""
    fresh = [pair for pair, _ in found if (*pair, filtered_in) not in cursors]
    firsts = dict(found)
    for pair in fresh:
        cursors[(*pair, filtered_in)] = BeforeFirst.of(firsts[pair])
    return fresh


def claim_ids(
    using: str,
    worker: int,
    ids: Sequence[UUID],
    *,
    queues: Sequence[str] | None = None,
    exclude: Collection[str] | None = None,
    now: datetime | None = None,
    without: Sequence[str] | None = None,
    not_of: Sequence[str] = (),
) -> list[TaskRow]:
    """Claim those of these very tasks that are QUEUED, in these queues, without a lane.

    without: names of tasks not to claim; not_of: releases. Of one atomic task the claim may not be on the disk yet.
    """
    if not ids:
        return []
    connection = connections[using]
    where: list[Condition] = []
    if queues is not None:
        where.append(any_of("queue", connection, queues))
    if exclude:
        where.append(none_of("queue", connection, list(exclude)))
    if without:
        where.append(none_of("name", connection, without))
    if not_of:
        where.append(of_none(connection, not_of))
    sql = " AND ".join(["lane IS NULL", *(part for part, _ in where)])
    params = [param for _, some in where for param in some]
    return lifecycle.claim(
        using,
        worker,
        sql,
        params,
        len(ids),
        now,
        ids=ids,
        durable=names_not_atomic(),
    )


def _in_order(cursors: Cursors, filtered_in: bool) -> list[Pair]:
    """Return the known pairs: by priority, then where the oldest task was claimed."""
    known = [
        (-p, at, queue)
        for (queue, p, kind), at in cursors.items()
        if kind == filtered_in
    ]
    return [(queue, -priority) for priority, _, queue in sorted(known)]
