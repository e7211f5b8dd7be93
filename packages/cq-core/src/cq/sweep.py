"""Finds by looking at the rows what no doorbell announced; bounded work per pass."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Exists, OuterRef, Q

from . import advance, doorbell, lifecycle, lookout, rescue
from .clock import Moment
from .options import LONGEST_SPAN
from .rows import edges, logs, tasks
from .status import FINAL, OPEN, Status

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

    from .lookout import Leftovers

#: Fewer than a thousand: a list of so many ids MariaDB takes for a table, and reads the
#: whole of the other to join them.
BATCH = 900
#: The part of the sweeps that is thorough.
THOROUGH = 1 / 12


def due(using: str, now: datetime | None = None, limit: int = BATCH) -> int:
    """Queue what has come to its time, and expire what did not start in time."""
    return queue_due(using, now, limit) if lookout.work(using, now).due else 0


def queue_due(using: str, now: datetime | None = None, limit: int = BATCH) -> int:
    """As `due`, where it is known that there is something."""
    late = lifecycle.expire(using, limit, now)
    advance.settled(using, late, now)
    moved = lifecycle.queue_due(using, limit, now)
    doorbell.ring(using, moved)
    return len(late) + len(moved)


def sweep(
    using: str,
    now: datetime | None = None,
    limit: int = BATCH,
    *,
    thorough: bool = True,
) -> int:
    """Do everything that has been missed; how many tasks were brought forward.

    thorough: also what reads every open subtask; for now and then.
    """
    left = lookout.leftovers(using)
    count = due(using, now, limit) + sweep_up(using, left, now, limit)
    if thorough:
        count += revoke_left_behind(using, now, limit)
    return count + prune(using, now, limit)


def sweep_up(
    using: str, left: Leftovers, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Do what nobody did for these; how many tasks were brought forward."""
    count = rescue.rescue_dead(using, now, claims=left.claimed)
    if left.waiting:
        count += settle_forgotten(using, now, limit)
    if left.edges:
        count += resolve_forgotten(using, now, limit)
    if left.pending:
        count += queue_forgotten(using, now, limit)
    return count


def revoke_left_behind(
    using: str, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Revoke open subtasks of parents that have settled without them.

    Such as were added to a parent that expired, or was blocked, before it began; and
    those that a revocation did not come to, because its process died.
    """
    settled = tasks(using).filter(pk=OuterRef("parent_id"), status__in=sorted(FINAL))
    left = tasks(using).filter(
        Exists(settled), parent__isnull=False, counted=True, status__in=sorted(OPEN)
    )
    ids = list(left.order_by("pk").values_list("pk", flat=True)[:limit])
    reason = "Its parent has settled without it."
    revoked = lifecycle.revoke(using, ids, reason, now) if ids else []
    advance.settled(using, revoked, now)
    return len(revoked)


def settle_forgotten(
    using: str, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Settle WAITING tasks whose last subtask told nobody, or was deleted."""
    open_child = tasks(using).filter(
        parent=OuterRef("pk"), counted=True, status__in=sorted(OPEN)
    )
    stuck = (
        tasks(using)
        .filter(~Exists(open_child), status=Status.WAITING)
        .values_list("pk", flat=True)[:limit]
    )
    moved = [pk for pk in list(stuck) if advance.settle_parent(using, pk, now)]
    advance.settled(using, moved, now)
    return len(moved)


def resolve_forgotten(
    using: str, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Resolve edges whose upstream settled, or was deleted, unheard."""
    return advance.resolve_settled(
        using, edges(using).filter(met__isnull=True), now, limit
    )


def queue_forgotten(using: str, now: datetime | None = None, limit: int = BATCH) -> int:
    """Queue PENDING tasks that wait for nothing any more."""
    open_edge = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    ids = (
        tasks(using)
        .filter(
            ~Exists(open_edge),
            Q(run_after__isnull=True) | Q(run_after__lte=Moment(now)),
            status=Status.PENDING,
        )
        .values_list("pk", flat=True)[:limit]
    )
    moved = lifecycle.queue(using, list(ids), now)
    doorbell.ring(using, moved)
    return len(moved)


# --- time to live ---------------------------------------------------------------------


def prune(using: str, now: datetime | None = None, limit: int = BATCH) -> int:
    """Delete whole trees whose root settled longer than its `result_ttl` ago.

    A tree is kept while something open still depends on it, or in it one that was
    retried is open. At most about `limit` rows of each time to live.
    """
    return sum(_prune(using, ttl, now, limit) for ttl in _ttls(using))


def _prune(using: str, ttl: float, now: datetime | None, limit: int) -> int:
    over = Moment(now, -min(timedelta(seconds=min(ttl, 1e10)), LONGEST_SPAN))
    needed = edges(using).filter(
        depends_on__root=OuterRef("pk"), task__status__in=sorted(OPEN)
    )
    below = tasks(using).filter(root=OuterRef("pk"), parent__isnull=False)
    retried = below.filter(status__in=sorted(OPEN))
    roots = list(
        tasks(using)
        .filter(
            ~Exists(needed),
            ~Exists(retried),
            result_ttl=ttl,
            parent__isnull=True,
            finished__lt=over,
        )
        .order_by("finished")
        .values_list("pk", Exists(below))[:limit]
    )
    alone = [root for root, has_subtasks in roots if not has_subtasks]
    _delete(using, alone, alone)
    deleted = len(alone)
    for root, has_subtasks in roots:
        if deleted >= limit:
            break
        if has_subtasks:
            deleted += _delete_tree(using, root, limit)
    return deleted


def _ttls(using: str) -> list[float]:
    """The different times to live in the table, found without reading all of it."""
    kept = tasks(using).filter(
        parent__isnull=True, result_ttl__isnull=False, finished__isnull=False
    )
    found: list[float] = []
    while True:
        more = kept.filter(result_ttl__gt=found[-1]) if found else kept
        ttl = more.order_by("result_ttl").values_list("result_ttl", flat=True).first()
        if ttl is None:
            return found
        found.append(ttl)


def _delete_tree(using: str, root: UUID, limit: int) -> int:
    """Delete below a root in batches, then the root, which is what is looked for."""
    deleted = 0
    while True:
        below = list(
            tasks(using)
            .filter(root=root, parent__isnull=False)
            .order_by("-pk")
            .values_list("pk", flat=True)[:limit]
        )
        last = len(below) < limit
        ids = [*below, root] if last else below
        _delete(using, ids, [root] if last else [])
        deleted += len(ids)
        if last:
            return deleted


def _delete(using: str, ids: list[UUID], roots: list[UUID]) -> None:
    """Delete tasks with their edges, and the logs of those of them that are roots."""
    if not ids:
        return
    with transaction.atomic(using=using):
        _remove(edges(using).filter(Q(task__in=ids) | Q(depends_on__in=ids)))
        if roots:
            _remove(logs(using).filter(root__in=roots))
        _remove(tasks(using).filter(pk__in=ids))


def _remove(rows: QuerySet[Any]) -> None:
    using = rows.db
    # MySQL locks whatever it reads on the way, and waits for what is not committed.
    if connections[using].vendor != "mysql":
        rows._raw_delete(using)
        return
    ids = list(rows.order_by().values_list("pk", flat=True))
    of_ids = rows.model._base_manager.using(using).filter
    for start in range(0, len(ids), BATCH):
        of_ids(pk__in=ids[start : start + BATCH])._raw_delete(using)
