"""Chooses what is claimed next: the highest priority first, the oldest of that first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections

from . import lifecycle
from .pairs import Pair, heads, last_of
from .registry import names_not_atomic
from .statements import uuid_param

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .models import Task

#: How far a caller has come in each pair; by (queue, priority, whether `only` is given).
#: Owned by the caller, who clears it now and then: a task may be committed after one
#: with a greater id. One for each set of `queues` and `exclude`.
Cursors = dict[tuple[str, int, bool], UUID]


def ready_pairs(
    using: str,
    queues: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
) -> list[Pair]:
    """Return the pairs that have work: by priority, then whose first task is oldest.

    queues, exclude: names of queues to look at, or not to; None: all.
    """
    return [pair for pair, _ in heads(using, queues, exclude)]


def claim_next(
    using: str,
    worker: int,
    limit: int,
    queues: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    cursors: Cursors | None = None,
    now: datetime | None = None,
    only: Sequence[str] | None = None,
    without: Sequence[str] | None = None,
    rerun_only: bool = False,
) -> list[Task]:
    """Claim at most `limit` tasks, pair by pair.

    Without `cursors` the table is looked at from the front, and a limit of 1 gives
    exactly the order (priority, id). With them, what is already behind a cursor costs
    nothing any more, however many dead entries the index has there; pairs that are
    not known yet are looked for when the known ones have no more.

    only, without: names of tasks to claim, or not to.
    rerun_only: claim only what runs again by itself when its worker is lost.
    """
    picking = _Picking(using, worker, limit, now, only, without)
    if rerun_only:
        picking.filter("rerun_lost", [])
    cursors = {} if cursors is None else cursors
    known = _in_order(cursors, picking.filtered_in)
    for pair in known:
        picking.claim(pair, cursors)
    if picking.left > 0:
        for pair, head in heads(using, queues, exclude):
            key = (*pair, picking.filtered_in)
            if key not in cursors:
                cursors[key] = UUID(int=max(head.int - 1, 0))
                picking.claim(pair, cursors)
    return picking.found


def claim_ids(
    using: str,
    worker: int,
    ids: Sequence[UUID],
    *,
    queues: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    now: datetime | None = None,
) -> list[Task]:
    """Claim those of these very tasks that are QUEUED, and in these queues.

    Of one atomic task the claim may not be on the disk yet.
    """
    if not ids:
        return []
    connection = connections[using]
    where = [_any("id", connection, ids)]
    if queues is not None:
        where.append(_any("queue", connection, queues))
    if exclude:
        where.append(_none("queue", connection, exclude))
    sql = " AND ".join(part for part, _ in where)
    params = [param for _, some in where for param in some]
    return lifecycle.claim(
        using,
        worker,
        sql,
        params,
        len(ids),
        now,
        by_id=True,
        durable=names_not_atomic(),
    )


class _Picking:
    """The claims of one look at the table."""

    def __init__(
        self,
        using: str,
        worker: int,
        limit: int,
        now: datetime | None,
        only: Sequence[str] | None,
        without: Sequence[str] | None,
    ) -> None:
        self.using = using
        self.worker = worker
        self.left = limit
        self.now = now
        self.found: list[Task] = []
        self.filtered_in = only is not None
        self.filtered = only is not None or bool(without)
        self._names: list[_Condition] = []
        connection = connections[using]
        if only is not None:
            self._names.append(_any("name", connection, only))
        if without:
            self._names.append(_none("name", connection, without))

    def filter(self, sql: str, params: list[Any]) -> None:
        """Claim only what matches this condition."""
        self.filtered = True
        self._names.append((sql, params))

    def claim(self, pair: Pair, cursors: Cursors) -> None:
        """Claim what is still wanted from one pair, and move its cursor."""
        if self.left <= 0:
            return
        key = (*pair, self.filtered_in)
        # Never without a bound for the id: whichever index is taken then, nothing that
        # has finished long ago is read.
        where = ["queue = %s AND priority = %s AND id > %s"]
        after = uuid_param(connections[self.using], cursors[key])
        params: list[Any] = [*pair, after]
        for sql, some in self._names:
            where.append(sql)
            params += some
        found = lifecycle.claim(
            self.using,
            self.worker,
            " AND ".join(where),
            params,
            self.left,
            self.now,
            index="cq_ready",
        )
        self.found += found
        self.left -= len(found)
        if found:
            cursors[key] = found[-1].pk
        if self.left <= 0:
            return
        # No more behind the cursor: what is left, or comes, the next scan finds.
        last = last_of(self.using, pair) if self.filtered else None
        if last is None:
            del cursors[key]
        else:
            # It is of other names, and is not to be read again each time.
            cursors[key] = max(last, cursors[key])


def _in_order(cursors: Cursors, filtered_in: bool) -> list[Pair]:
    """Return the known pairs: by priority, then where the oldest task was claimed."""
    known = [
        (-p, at, queue)
        for (queue, p, kind), at in cursors.items()
        if kind == filtered_in
    ]
    return [(queue, -priority) for priority, _, queue in sorted(known)]


# --- conditions -----------------------------------------------------------------------

_Condition = tuple[str, list[Any]]


def _any(column: str, connection: Any, values: Sequence[Any]) -> _Condition:
    """Return SQL, with its parameters, for: the column has one of these values."""
    if not values:
        return "1 = 0", []
    if connection.vendor == "postgresql":
        # One parameter, whatever their number: the statement's text stays the same.
        return f"{column} = ANY(%s)", [list(values)]
    params = [uuid_param(connection, v) if isinstance(v, UUID) else v for v in values]
    return f"{column} IN ({', '.join(['%s'] * len(params))})", params


def _none(column: str, connection: Any, values: Sequence[Any]) -> _Condition:
    sql, params = _any(column, connection, values)
    return f"NOT ({sql})", params


# --- the loose index scan -------------------------------------------------------------
