"""The place of a task among those that wait, because somebody asked for another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Case, Exists, F, OuterRef, QuerySet, When

from cq.db.clock import Moment
from cq.db.statements import update_returning
from cq.status import NOT_BEGUN, Status
from cq.tables.queries import edges, tasks

from .guards import in_source_status
from .queueing import DELAYED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from cq.tables.rows import TaskRow

#: The bounds of a priority; claims begin with the highest.
LOWEST, HIGHEST = -100, 100


def hasten(
    using: str,
    ids: Sequence[UUID],
    now: datetime | None = None,
    *,
    only: frozenset[Status] = NOT_BEGUN,
    priority: int | None = HIGHEST,
) -> list[tuple[UUID, str]]:
    """PENDING, RETRY and QUEUED to QUEUED, with the highest priority there is.

    For those that wait for no other task. A time that was still to come is now. only: the
    statuses that they may have; priority: None to leave it. Returns (id, queue) of each.
    """
    open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    waiting = in_source_status("hasten", using).filter(
        ~Exists(open_edges), ~DELAYED, pk__in=list(ids), status__in=sorted(only)
    )
    moment = Moment(now)
    to_come = When(run_after__gt=moment, then=moment)
    # What is QUEUED still waits since it was ready.
    is_ready = When(status=Status.QUEUED, then=F("ready"))
    more = {} if priority is None else {"priority": priority}
    moved = update_returning(
        waiting,
        ("queue",),
        # Before the status: MariaDB goes from left to right.
        ready=Case(is_ready, default=moment),
        status=Status.QUEUED,
        run_after=Case(to_come, default=F("run_after")),
        **more,
    )
    return [(row[0], row[1]) for row in moved]


def prioritize(
    using: str,
    ids: Sequence[UUID],
    priority: Any,
    only: frozenset[Status] = NOT_BEGUN,
) -> list[UUID]:
    """Give those that have not begun another priority; the ids of those.

    Raises ValueError for what is no priority.
    """
    check_priority(priority)
    moved = _not_begun(using, ids, only)
    changed = update_returning(moved, priority=priority, listed=None)
    return [row[0] for row in changed]


def check_priority(priority: Any) -> None:
    """Raise ValueError for what is no priority."""
    whole = isinstance(priority, int) and not isinstance(priority, bool)
    if not whole or not LOWEST <= priority <= HIGHEST:
        raise ValueError(
            f"priority is {priority!r}, but must be a whole number, {LOWEST}..{HIGHEST}"
        )


def move(
    using: str, ids: Sequence[UUID], queue: str, only: frozenset[Status] = NOT_BEGUN
) -> list[tuple[UUID, str]]:
    """Put what has not begun into another queue; the id and status of each."""
    # Another queue is another lane, as another priority is.
    moved = update_returning(
        _not_begun(using, ids, only), ("status",), queue=queue, listed=None
    )
    return [(row[0], row[1]) for row in moved]


def _not_begun(
    using: str, ids: Sequence[UUID], only: frozenset[Status]
) -> QuerySet[TaskRow]:
    found = tasks(using).filter(pk__in=list(ids))
    return found.filter(status__in=sorted(NOT_BEGUN & only))
