"""The moment that a task is not to start before, by this host's clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

if TYPE_CHECKING:
    from cq.db.clock import Given

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
