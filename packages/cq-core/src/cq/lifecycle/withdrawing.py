"""What others do to a task: its predecessors, the clock, people, a dead worker."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from django.db.models import Case, F, TextField, Value, When

from cq.clock import Moment
from cq.statements import update_returning
from cq.status import Status
from cq.text import LONGEST_ERROR, storable

from .guards import Claim, held_by, movable, settled, withdrawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


def block(
    using: str, reasons: Mapping[UUID, str], now: datetime | None = None
) -> list[UUID]:
    """PENDING to INCOMPLETE: what they waited for did not succeed.

    `reasons` by id; returns the ids of those that were PENDING.
    """
    if not reasons:
        return []
    by_reason: dict[str, list[UUID]] = defaultdict(list)
    for task_id, reason in reasons.items():
        by_reason[storable(reason, LONGEST_ERROR)].append(task_id)
    # One statement, however many there are.
    whens = [When(pk__in=ids, then=Value(why)) for why, ids in by_reason.items()]
    error = Case(*whens, output_field=TextField())
    waiting = movable("block", using).filter(pk__in=list(reasons))
    moved = update_returning(waiting, **withdrawn(Status.INCOMPLETE, error, now))
    return [row[0] for row in moved]


def skip(using: str, ids: Sequence[UUID], now: datetime | None = None) -> list[UUID]:
    """PENDING to SKIPPED: their `when` can no longer come true; the ids of those."""
    if not ids:
        return []
    waiting = movable("skip", using).filter(pk__in=ids)
    moved = update_returning(waiting, **settled(Status.SKIPPED, now))
    return [row[0] for row in moved]


def expire(using: str, limit: int, now: datetime | None = None) -> list[UUID]:
    """PENDING and QUEUED to EXPIRED, for at most `limit` that did not start in time."""
    late = movable("expire", using).filter(
        # One that is tried again had started in time.
        attempts=0,
        expires__isnull=False,
        expires__lte=Moment(now),
    )
    ids = list(late.order_by("expires").values_list("pk", flat=True)[:limit])
    reason = "It was not started before it expired."
    moved = update_returning(
        late.filter(pk__in=ids), **withdrawn(Status.EXPIRED, reason, now)
    )
    return [row[0] for row in moved]


def revoke(
    using: str, ids: Sequence[UUID], reason: str, now: datetime | None = None
) -> list[UUID]:
    """Open ones to REVOKED, with the fence raised; the ids of those that were open."""
    moved = update_returning(
        movable("revoke", using).filter(pk__in=ids),
        fence=F("fence") + 1,
        **withdrawn(Status.REVOKED, reason, now),
    )
    return [row[0] for row in moved]


def rescue(
    using: str, held: Claim, max_losses: int, reason: str, now: datetime | None = None
) -> Status | None:
    """RUNNING to QUEUED again, or to LOST when it may not run again by itself."""
    loss = {"fence": F("fence") + 1, "losses": F("losses") + 1, "outcome": None}
    again = held_by(using, held).filter(rerun_lost=True, losses__lt=max_losses - 1)
    if again.update(
        status=Status.QUEUED, worker=None, started=None, open_children=0, **loss
    ):
        return Status.QUEUED
    lost = held_by(using, held).update(**loss, **withdrawn(Status.LOST, reason, now))
    return Status.LOST if lost else None
