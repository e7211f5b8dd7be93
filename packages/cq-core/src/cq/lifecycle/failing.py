"""The end of a run whose function raised, for good or until the next attempt."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F, Q

from cq.db.clock import Moment
from cq.fields import OptionsWith
from cq.status import Status

from . import attempts
from .guards import final_columns, held_by, open_children, withdrawn_columns

if TYPE_CHECKING:
    from .claims import Claim, Failure


def fail(
    using: str,
    held: Claim,
    failure: Failure,
    *,
    children: int = 0,
    now: datetime | None = None,
) -> Status | None:
    """RUNNING to FAILURE, or to WAITING while a subtask is open.

    Returns the new status, or None when the claim was given away.
    """
    with transaction.atomic(using=using, savepoint=False):
        status = _fail(using, held, failure, children, now)
        if status is not None:
            attempts.failed(using, held, failure, now)
    return status


def _fail(
    using: str, held: Claim, failure: Failure, children: int, now: datetime | None
) -> Status | None:
    mine: dict[str, Any] = {
        **failure._asdict(),
        "outcome": Status.FAILURE,
        "failures": F("failures") + 1,
        "result": None,
    }
    # The counter as well, see NO_OPEN_CHILD.
    finished = held_by(using, held).filter(~open_children(), open_children__lte=0)
    if not children and finished.update(**mine, **final_columns(Status.FAILURE, now)):
        return Status.FAILURE
    waiting = held_by(using, held).update(
        **mine,
        status=Status.WAITING,
        worker=None,
        open_children=F("open_children") + children,
    )
    return Status.WAITING if waiting else None


def postpone(
    using: str,
    held: Claim,
    failure: Failure,
    delay: float,
    now: datetime | None = None,
    *,
    misfit: bool = False,
    keeps_children: bool = False,
) -> bool:
    """RUNNING to RETRY: the next attempt starts `delay` seconds from now.

    misfit: no line of its function has run, so that it does not count against `retries`.
    keeps_children: its subtasks stay its own, and how they end counts.
    """
    more: dict[str, Any] = {"misfits": F("misfits") + 1} if misfit else {}
    with transaction.atomic(using=using, savepoint=False):
        won = held_by(using, held).update(
            **failure._asdict(),
            status=Status.RETRY,
            worker=None,
            failures=F("failures") + 1,
            run_after=Moment(now, timedelta(seconds=delay)),
            **({} if keeps_children or misfit else _NO_CHILDREN),
            **more,
        )
        if won:
            attempts.failed(using, held, failure, now, again=True)
    return bool(won)


def retry_later(
    using: str,
    held: Claim,
    delay: float,
    options: dict[str, Any],
    now: datetime | None = None,
    *,
    keeps_children: bool = False,
) -> Status | None:
    """RUNNING to RETRY, without a failure: the next attempt starts `delay` seconds from now.

    To EXPIRED where it would not start before the task expires. options: those of its row
    that are to be others. keeps_children: as for `postpone`. Returns the new status, or None when the claim was given away.
    """
    again = Moment(now, timedelta(seconds=delay))
    mine: dict[str, Any] = {
        **({} if keeps_children else _NO_CHILDREN),
        # Among the others may be tags that it was given since it was claimed.
        "options": OptionsWith(options),
    }
    in_time = Q(expires__isnull=True) | Q(expires__gt=again)
    if (
        held_by(using, held)
        .filter(in_time)
        .update(**mine, status=Status.RETRY, worker=None, run_after=again)
    ):
        return Status.RETRY
    late = held_by(using, held).filter(expires__isnull=False)
    columns = withdrawn_columns(Status.EXPIRED, _EXPIRED, now)
    return Status.EXPIRED if late.update(**mine, **columns) else None


#: What came of the subtasks of a run, where those are given up with it.
_NO_CHILDREN: dict[str, Any] = {"outcome": None, "open_children": 0}
_EXPIRED = "It raised RetryLater, and would be tried again after it expires."
