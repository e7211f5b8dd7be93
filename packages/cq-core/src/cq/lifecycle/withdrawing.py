"""Ends that come from others: predecessors, the clock, people, a dead worker."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Case, F, Q, TextField, Value, When
from django.db.models.functions import Coalesce

from cq.db.clock import Moment
from cq.db.statements import update_returning
from cq.status import Status
from cq.tables.queries import has_status

from . import attempts
from .claims import Claim, Failure
from .guards import (
    HAS_DEADLINE,
    column,
    final_columns,
    held_by,
    in_source_status,
    queued_columns,
    withdrawn_columns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


def block(
    using: str, failures: Mapping[UUID, Failure], now: datetime | None = None
) -> list[UUID]:
    """PENDING to INCOMPLETE: what they waited for did not succeed.

    `failures` by id; returns the ids of those that were PENDING.
    """
    if not failures:
        return []
    alike: dict[Failure, list[UUID]] = defaultdict(list)
    for task_id, failure in failures.items():
        alike[failure].append(task_id)
    waiting = in_source_status("block", using).filter(pk__in=list(failures))
    # One statement, however many there are.
    columns = {
        name: Case(
            *(When(pk__in=ids, then=Value(f[at])) for f, ids in alike.items()),
            output_field=column(name),
        )
        for at, name in enumerate(Failure._fields)
    }
    values = {**final_columns(Status.INCOMPLETE, now), **columns}
    return [row[0] for row in update_returning(waiting, **values)]


def skip(using: str, ids: Sequence[UUID], now: datetime | None = None) -> list[UUID]:
    """PENDING to SKIPPED: their `when` can no longer come true; the ids of those."""
    if not ids:
        return []
    waiting = in_source_status("skip", using).filter(pk__in=ids)
    moved = update_returning(waiting, **final_columns(Status.SKIPPED, now))
    return [row[0] for row in moved]


def expire(using: str, limit: int, now: datetime | None = None) -> list[UUID]:
    """PENDING and QUEUED to EXPIRED, for at most `limit` that did not start in time.

    And those that are not done by their deadline.
    """
    late = in_source_status("expire", using).filter(
        # One that is tried again had started in time; a deadline is for all of it.
        Q(attempts=0) | HAS_DEADLINE,
        expires__isnull=False,
        expires__lte=Moment(now),
    )
    found = late.filter(has_status(Status.PENDING, Status.QUEUED)).order_by("expires")
    ids = list(found.values_list("pk", flat=True)[:limit])
    reason = Case(
        When(HAS_DEADLINE, then=Value(MISSED)),
        default=Value("It was not started before it expired."),
        output_field=TextField(),
    )
    moved = update_returning(
        late.filter(pk__in=ids), **withdrawn_columns(Status.EXPIRED, reason, now)
    )
    return [row[0] for row in moved]


def miss(using: str, held: Claim, now: datetime | None = None) -> bool:
    """RUNNING to EXPIRED, at its deadline; whether the claim held."""
    columns = withdrawn_columns(Status.EXPIRED, MISSED, now)
    return bool(held_by(using, held).update(outcome=None, **columns))


MISSED = "It was not done by its deadline."


def revoke(
    using: str,
    ids: Sequence[UUID],
    reason: str,
    now: datetime | None = None,
    only: frozenset[Status] | None = None,
    by: str | None = None,
) -> list[UUID]:
    """Open ones to REVOKED, with the fence raised; the ids of those that were open.

    only: the statuses that they may have; None: all in which a task is open. by: who asks
    for it, for the history of those that run.
    """
    open_ = in_source_status("revoke", using).filter(pk__in=ids)
    if only is not None:
        open_ = open_.filter(status__in=sorted(only))
    with transaction.atomic(using=using, savepoint=False):
        attempts.revoked(open_, reason, now, by)
        moved = update_returning(
            open_,
            ("fence",),
            fence=F("fence") + 1,
            **withdrawn_columns(Status.REVOKED, reason, now),
        )
        attempts.trim(using, moved)
    return [row[0] for row in moved]


def rescue(
    using: str,
    held: Claim,
    max_losses: int,
    reason: str,
    now: datetime | None = None,
    *,
    keeps_children: bool = False,
) -> Status | None:
    """RUNNING to QUEUED again, or to LOST when it may not run again by itself.

    keeps_children: where it runs again, its subtasks stay its own.
    """
    with transaction.atomic(using=using, savepoint=False):
        if not attempts.lost(using, held, reason, now):
            return None
        status = _rescue(using, held, max_losses, reason, now, keeps_children)
        attempts.trim(using, [(held.id, held.fence)])
    return status


def _rescue(
    using: str,
    held: Claim,
    max_losses: int,
    reason: str,
    now: datetime | None,
    keeps_children: bool,
) -> Status | None:
    loss = {"fence": F("fence") + 1, "losses": F("losses") + 1}
    no_children: dict[str, Any] = {"outcome": None, "open_children": 0}
    again = held_by(using, held).filter(rerun_lost=True, losses__lt=max_losses - 1)
    if again.update(
        **queued_columns(now),
        worker=None,
        first_started=Coalesce("first_started", "started"),
        started=None,
        **({} if keeps_children else no_children),
        **loss,
    ):
        return Status.QUEUED
    lost = held_by(using, held).update(
        outcome=None, **loss, **withdrawn_columns(Status.LOST, reason, now)
    )
    return Status.LOST if lost else None
