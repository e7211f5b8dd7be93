"""From an end back to the start, because somebody asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import F

from cq.errors import UniqueTaken
from cq.statements import update_returning
from cq.status import Status

from .guards import movable

if TYPE_CHECKING:
    from uuid import UUID


def retry(
    using: str,
    task_id: UUID,
    *,
    counted: bool,
    unique_key: str | None,
    open_edges: int = 0,
) -> tuple[UUID, str] | None:
    """A finished one to QUEUED, as a new run of the same row; its log is kept.

    To PENDING while `open_edges` of what it depends on are open again. Raises
    UniqueTaken when its unique key belongs to a live task again.
    """
    ended = movable("retry", using).filter(pk=task_id)
    values: dict[str, Any] = {
        "status": Status.PENDING if open_edges else Status.QUEUED,
        "fence": F("fence") + 1,
        "failures": 0,
        "losses": 0,
        "open_children": 0,
        "open_edges": open_edges,
        "counted": counted,
        "started": None,
        "finished": None,
        "run_after": None,
        "expires": None,
        "unique_key": unique_key,
        **_NO_OUTCOME,
    }
    try:
        # The savepoint keeps the caller's transaction usable after a refusal.
        with transaction.atomic(using=using):
            won = update_returning(ended, ("queue",), **values)
    except IntegrityError as error:
        if not unique_key:
            raise
        raise UniqueTaken(
            f"unique key {unique_key!r} belongs to another live task; revoke that one "
            "or wait for it"
        ) from error
    return won[0] if won else None


def reopen(using: str, task_id: UUID, *, counted: bool, open_edges: int) -> bool:
    """What ended for a predecessor's sake to PENDING, as that one is retried."""
    ended = movable("reopen", using).filter(pk=task_id, attempts=0)
    return bool(
        ended.update(
            status=Status.PENDING,
            finished=None,
            counted=counted,
            open_edges=open_edges,
            **_NO_OUTCOME,
        )
    )


_NO_OUTCOME: dict[str, Any] = {
    "outcome": None,
    "result": None,
    "result_from": None,
    "error": None,
    "exception": None,
    "traceback": None,
    "progress_done": None,
    "progress_total": None,
    "progress_message": "",
}
