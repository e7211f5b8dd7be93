"""What every change of a status is guarded by, and the columns that an end sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Exists, OuterRef, QuerySet

from cq.clock import Moment
from cq.rows import task_model, tasks
from cq.status import FAILED, OPEN, TRANSITIONS, Status
from cq.text import LONGEST_ERROR, LONGEST_TRACEBACK, storable

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from cq.models import Task


class Claim(NamedTuple):
    """What a run holds, and every write of it is guarded by."""

    id: UUID
    fence: int
    worker: int


class Failure(NamedTuple):
    """Why a task did not succeed, as text that any database stores."""

    error: str
    exception: str | None = None
    traceback: str | None = None

    @classmethod
    def of(cls, error: str, exception: str = "", traceback: str = "") -> Failure:
        return cls(
            storable(error, LONGEST_ERROR),
            storable(exception, 255) or None,
            storable(traceback, LONGEST_TRACEBACK) or None,
        )


def movable(verb: str, using: str) -> QuerySet[Task]:
    """The rows that `verb` may move."""
    return tasks(using).filter(status__in=sorted(TRANSITIONS[verb].sources))


def held_by(using: str, claim: Claim) -> QuerySet[Task]:
    return tasks(using).filter(pk=claim.id, fence=claim.fence, worker=claim.worker)


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


def settled(status: Any, now: datetime | None) -> dict[str, Any]:
    """The columns that every final status sets."""
    return {
        "status": status,
        "finished": Moment(now),
        "worker": None,
        "unique_key": None,
    }


def withdrawn(status: Status, reason: Any, now: datetime | None) -> dict[str, Any]:
    """The columns of an end that is not the function's own: no exception is invented."""
    return {
        **settled(status, now),
        "error": storable(reason, LONGEST_ERROR) if isinstance(reason, str) else reason,
        "exception": None,
        "traceback": None,
    }
