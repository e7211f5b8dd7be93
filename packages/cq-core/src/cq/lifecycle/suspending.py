"""The way of a durable task out of a run that waits, and on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Case, Exists, F, OuterRef, When
from django.db.models.functions import Coalesce

from cq.db.statements import update_returning
from cq.status import Status
from cq.tables.queries import edges

from .guards import HAS_DEADLINE, held_by, in_source_status, queued_columns
from .queueing import WOKEN, drain, hand_back

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from .claims import Claim


def suspend(using: str, held: Claim, until: datetime | None) -> bool:
    """RUNNING to SUSPENDED, until that moment at the latest; None: until it is woken.

    Its losses begin anew: they count in a row, and it has got on. So do the tries of what
    does not fit the code of a process, for the next deploy. Returns whether the claim held.
    """
    return bool(
        held_by(using, held).update(
            status=Status.SUSPENDED,
            worker=None,
            run_after=until,
            losses=0,
            # Before the misfits: MariaDB goes from left to right.
            failures=F("failures") - F("misfits"),
            misfits=0,
            **STARTED_IN_TIME,
        )
    )


def wake(
    using: str,
    ids: Iterable[UUID],
    now: datetime | None = None,
    *,
    gathered: bool = False,
) -> list[tuple[UUID, str]]:
    """SUSPENDED to QUEUED; (id, queue) of those that were. It counts as no new attempt.

    gathered: only those of which no other task is waited for any more.
    """
    suspended = in_source_status("wake", using).filter(pk__in=list(ids))
    if gathered:
        open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
        suspended = suspended.filter(~Exists(open_edges))
    return update_returning(suspended, ("queue",), **queued_columns(now), **WOKEN)


def hand_over(
    using: str, held: Claim, *, cut_short: bool = False
) -> list[tuple[UUID, str]]:
    """As `hand_back`, of a durable run, whose task is not late for that.

    cut_short: it did not come to its next step, and is kept in the history.
    """
    began = Coalesce("first_started", "started")
    more = {**STARTED_IN_TIME, "first_started": began}
    if cut_short:
        return drain(using, held, **more)
    return hand_back(using, [held], **more)


def begin_anew(
    using: str,
    held: Claim,
    args: str,
    kwargs: str,
    options: dict[str, Any],
    now: datetime | None = None,
) -> list[tuple[UUID, str]]:
    """RUNNING to QUEUED, as a new beginning with other arguments; (id, queue) of it.

    options: what its row keeps from now on. No attempt is counted; failures and losses are
    counted anew, and subtasks stay its own.
    """
    return update_returning(
        held_by(using, held),
        ("queue",),
        # First: MariaDB goes from left to right.
        first_started=Coalesce("first_started", "started"),
        **queued_columns(now),
        **WOKEN,
        **STARTED_IN_TIME,
        worker=None,
        started=None,
        fence=F("fence") + 1,
        args=args,
        kwargs=kwargs,
        options=options,
        failures=0,
        misfits=0,
        losses=0,
        progress_done=None,
        progress_total=None,
        progress_message="",
    )


def own_children(using: str, held: Claim, count: int) -> bool:
    """Count `count` more subtasks of a durable run at once; False: its claim is gone.

    Others tell theirs when they end. This one may go on elsewhere, and nothing starts the
    count anew then.
    """
    more = held_by(using, held).update(open_children=F("open_children") + count)
    return bool(more)


def forget_losses(using: str, held: Claim) -> None:
    """Set its losses to 0, for a run that has got on: they count in a row."""
    held_by(using, held).update(losses=0)


#: Whoever has started once does not expire, though none of its attempts is counted yet; but
#: for one with a deadline, which is for all of it.
STARTED_IN_TIME: dict[str, Any] = {
    "expires": Case(When(HAS_DEADLINE, then=F("expires")), default=None)
}
