"""The front of the queue, and other places in it, for tasks that somebody chose."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from cq import lifecycle
from cq.db.conflicts import retry_on_conflict
from cq.status import TO_START
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID


def run_next(
    using: str, ids: Sequence[UUID], now: datetime | None = None
) -> list[UUID]:
    """Have tasks claimed before the others of their queues; the ids of those that can be.

    That is what waits for its turn, or its time, and for no other task. Of several that
    run next the oldest is first.
    """
    return retry_on_conflict(using, partial(_run_next, using, ids, now))


def _run_next(using: str, ids: Sequence[UUID], now: datetime | None) -> list[UUID]:
    with transaction.atomic(using=using):
        queued = lifecycle.hasten(using, ids, now)
        transaction.on_commit(partial(doorbell.ring, using, queued), using=using)
    return [task_id for task_id, _ in queued]


def set_priority(using: str, ids: Sequence[UUID], priority: int) -> list[UUID]:
    """Give tasks that have not started another priority; the ids of those.

    Nobody is rung: a worker looks at what waits within `CQ_POLL`.
    """
    change = partial(lifecycle.prioritize, using, ids, priority, TO_START)
    return retry_on_conflict(using, change)
