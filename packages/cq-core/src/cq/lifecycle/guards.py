"""The guards of every change of a status, and the columns that a way into the queue or an end sets."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, Field, OuterRef, Q, QuerySet

from cq.db.clock import Moment
from cq.status import FAILED, OPEN, TRANSITIONS, Status
from cq.tables.durable.queries import undos
from cq.tables.queries import task_model, tasks
from cq.text import LONGEST_ERROR, storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from cq.tables.rows import TaskRow

    from .claims import Claim


#: In `options`: `expires` is the moment by which all of a durable task has to be done.
DEADLINE = "by_deadline"
HAS_DEADLINE = Q(options__has_key=DEADLINE)


def in_source_status(verb: str, using: str) -> QuerySet[TaskRow]:
    """The rows that `verb` may move."""
    return tasks(using).filter(status__in=sorted(TRANSITIONS[verb].sources))


def held_by(using: str, claim: Claim) -> QuerySet[TaskRow]:
    return tasks(using).filter(pk=claim.id, fence=claim.fence, worker=claim.worker)


def held_by_any(using: str, claims: Sequence[Claim]) -> QuerySet[TaskRow]:
    """The rows of those of some claims that still hold."""
    by_guard: dict[tuple[int, int], list[UUID]] = defaultdict(list)
    for claim in claims:
        by_guard[claim.fence, claim.worker].append(claim.id)
    holds = Q()
    for (fence, worker), ids in by_guard.items():
        holds |= Q(pk__in=ids, fence=fence, worker=worker)
    # All ids once more: by these they are found, whatever the database makes of an OR.
    return tasks(using).filter(holds, pk__in=[claim.id for claim in claims])


def open_children() -> Exists:
    return _counted_children(OPEN)


def failed_children() -> Exists:
    return _counted_children(FAILED)


def _counted_children(statuses: frozenset[Status]) -> Exists:
    return Exists(
        task_model()
        ._base_manager.filter(
            parent=OuterRef("pk"), counted=True, status__in=sorted(statuses)
        )
        .order_by()
    )


def is_undone(using: str) -> Exists:
    """Whether steps of a task are taken back, or were."""
    return Exists(undos(using).filter(task=OuterRef("pk"), undone_by__isnull=False))


def column(name: str) -> Field[Any, Any]:
    """The column of a task by its name, for an expression to be of its type."""
    found = task_model()._meta.get_field(name)
    assert isinstance(found, Field)
    return found


def queued_columns(now: datetime | None) -> dict[str, Any]:
    """The columns that every way into the queue sets.

    But for a hand-back, whose run has not counted: its task still waits since it did.
    """
    # Whether its lane has a row is to be looked at again.
    return {"status": Status.QUEUED, "ready": Moment(now), "listed": None}


def final_columns(status: Any, now: datetime | None) -> dict[str, Any]:
    """The columns that every final status sets."""
    return {
        "status": status,
        "finished": Moment(now),
        "worker": None,
        "unique_key": None,
    }


def withdrawn_columns(
    status: Status, reason: Any, now: datetime | None
) -> dict[str, Any]:
    """The columns of an end that is not the function's own: no exception is invented."""
    return {
        **final_columns(status, now),
        "error": storable(reason, LONGEST_ERROR) if isinstance(reason, str) else reason,
        "exception": None,
        "traceback": None,
        "cause": None,
    }
