"""The way from an end back to the start, because somebody asked for it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Q, When
from django.db.models.functions import Coalesce

from cq.db.clock import Moment
from cq.db.statements import update_returning
from cq.definitions.signatures import CHAIN, GROUP
from cq.errors import UniqueTaken
from cq.status import RETRYABLE, Status

from . import attempts
from .claims import NO_FAILURE
from .guards import in_source_status, is_undone, queued_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow


def retry(
    using: str,
    task_id: UUID,
    *,
    counted: bool,
    unique_key: str | None,
    open_edges: int = 0,
    now: datetime | None = None,
    only: frozenset[Status] = RETRYABLE,
    after: timedelta | None = None,
    by: str | None = None,
    reason: str | None = None,
) -> tuple[UUID, str] | None:
    """A finished one to QUEUED, as a new run of the same row; its log is kept.

    To PENDING while `open_edges` of what it depends on are open again, or until `after`
    from now. Raises UniqueTaken when its unique key belongs to a live task again.

    only: the statuses that it may have. by, reason: who asks for it, for the history.
    """
    ended = in_source_status("retry", using).filter(pk=task_id, status__in=sorted(only))
    not_yet = {"status": Status.PENDING, "ready": None, "open_edges": open_edges}
    values: dict[str, Any] = {
        **_anew(now),
        **(not_yet if open_edges or after else {}),
        "run_after": Moment(now, after) if after else None,
        "counted": counted,
        "unique_key": unique_key,
    }
    with own_key_again(using, unique_key):
        won = _run_again(ended, values, by, reason)
    return won[0] if won else None


def retry_many(
    using: str,
    ids: Sequence[UUID],
    now: datetime | None = None,
    only: frozenset[Status] = RETRYABLE,
    starts: Sequence[tuple[UUID, timedelta]] = (),
    *,
    by: str | None = None,
    reason: str | None = None,
) -> list[tuple[UUID, str]]:
    """Finished ones that wait for nothing and have no unique key to QUEUED.

    only: the statuses that they may have.
    starts: the last id, in their order, of each part of them, and how long from now that
    part waits: then all of them to PENDING, for the clock.
    Returns the id and queue of those that were finished.
    """
    ended = in_source_status("retry", using).filter(pk__in=ids, status__in=sorted(only))
    values = _anew(now)
    if starts:
        later = {"status": Status.PENDING, "ready": None}
        values |= {**later, "run_after": _staggered(starts, now)}
    with transaction.atomic(using=using, savepoint=False):
        return _run_again(ended, values, by, reason)


def _staggered(starts: Sequence[tuple[UUID, timedelta]], now: datetime | None) -> Case:
    """Return the moment of each row, by the part that its id is in."""
    parts = [When(pk__lte=last, then=Moment(now, after)) for last, after in starts]
    return Case(*parts, default=Moment(now, starts[-1][1]))


def _run_again(
    ended: QuerySet[TaskRow],
    values: dict[str, Any],
    by: str | None,
    reason: str | None,
) -> list[tuple[UUID, str]]:
    attempts.taken_back(ended, by, reason)
    moved = update_returning(ended, ("queue", "fence"), **values)
    attempts.trim(ended.db, [(task_id, fence) for task_id, _, fence in moved])
    return [(task_id, queue) for task_id, queue, _ in moved]


def _anew(now: datetime | None) -> dict[str, Any]:
    """Return the columns of a new run of the same row."""
    return {
        **queued_columns(now),
        "fence": F("fence") + 1,
        "failures": 0,
        "misfits": 0,
        "losses": 0,
        "open_children": 0,
        "open_edges": 0,
        "first_started": Coalesce("first_started", "started"),
        "started": None,
        "finished": None,
        "run_after": None,
        "expires": None,
        **_NO_OUTCOME,
    }


def reopen(using: str, task_id: UUID, *, counted: bool, open_edges: int) -> bool:
    """What ended for a predecessor's sake to PENDING, as that one is retried."""
    ended = in_source_status("reopen", using).filter(pk=task_id, attempts=0)
    return bool(
        ended.update(
            status=Status.PENDING,
            finished=None,
            counted=counted,
            open_edges=open_edges,
            **_NO_OUTCOME,
        )
    )


def wait_again(
    using: str, parent: UUID, unique_key: str | None, children: int = 1
) -> bool:
    """INCOMPLETE to WAITING: subtasks that it ended for are run again.

    Its own function did not fail, so what it has for an error came from below. Raises
    UniqueTaken when its unique key belongs to a live task again.
    """
    # What a predecessor kept from starting has not run, and is no group or chain.
    has_waited = Q(attempts__gt=0) | Q(name__in=[GROUP, CHAIN])
    # What was taken back does not come true by a subtask that is run again.
    ended = in_source_status("wait_again", using).filter(
        has_waited, ~is_undone(using), pk=parent
    )
    values = {
        "status": Status.WAITING,
        "finished": None,
        "outcome": None,
        **NO_FAILURE,
        "open_children": children,
        "unique_key": unique_key,
    }
    with own_key_again(using, unique_key):
        return bool(ended.update(**values))


@contextlib.contextmanager
def own_key_again(using: str, unique_key: str | None) -> Iterator[None]:
    """Raise UniqueTaken for a key that belongs to another live task by now."""
    try:
        # The savepoint keeps the caller's transaction usable after a refusal.
        with transaction.atomic(using=using):
            yield
    except IntegrityError as error:
        if not unique_key:
            raise
        taken = UniqueTaken(
            f"unique key {unique_key!r} belongs to another live task; revoke that one "
            "or wait for it"
        )
        taken.key = unique_key
        raise taken from error


_NO_OUTCOME: dict[str, Any] = {
    "outcome": None,
    "result": None,
    "result_from": None,
    **NO_FAILURE,
    "progress_done": None,
    "progress_total": None,
    "progress_message": "",
}
