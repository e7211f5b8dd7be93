"""The moment that a task is not to start before, by this host's clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from cq import lifecycle
from cq.db.clock import later_of

if TYPE_CHECKING:
    from cq.db.clock import Given

    from .drafts import Draft

#: How wrong the clock of this host may be: within it, the database's is asked.
LARGEST_SKEW = timedelta(hours=1)


def is_later(run_after: Given) -> bool:
    """Tell whether it has to be waited for, or the database has to be asked."""
    if isinstance(run_after, timedelta):
        return run_after > timedelta()
    if isinstance(run_after, datetime):
        return run_after > timezone.now() - LARGEST_SKEW
    return run_after is not None


def may_have_come(run_after: Given) -> bool:
    """Tell whether it has come by this host's clock."""
    return isinstance(run_after, datetime) and run_after <= timezone.now()


def delay(draft: Draft, seconds: float) -> None:
    """Put a draft off by so long from when it can run: now, or when it is released."""
    if draft.open_edges:
        draft.options = {**(draft.options or {}), lifecycle.DELAY: seconds}
    else:
        draft.run_after = later_of(draft.run_after, seconds)


def put_off(draft: Draft, span: float) -> None:
    """Let a draft wait for its span; raises TypeError for one that waits for others."""
    if draft.open_edges:
        raise TypeError(
            f"{draft.name} has debounce, and this call waits for another task, so that no "
            "further one can replace it; give it debounce=None by .using()"
        )
    draft.debounce = span
    draft.run_after = timedelta(seconds=span)
    draft.options = {**(draft.options or {}), lifecycle.DEBOUNCE: span}
