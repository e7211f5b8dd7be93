"""The pruning of slots that were made long ago."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F

from cq.db.clock import database_now
from cq.tables.referrers import delete_unprotected, unprotected
from cq_scheduler.models import slots

#: How long the row of a slot is kept.
SLOT_TTL = timedelta(days=7)


def prune(using: str, now: datetime | None = None, limit: int = 1000) -> int:
    """Forget slots that were made longer than `SLOT_TTL` ago, at most `limit` of them.

    Return how many. The last one of each schedule stays, for people to find its run by.
    """
    over = (now or database_now(using)) - SLOT_TTL
    old = slots(using).filter(made__lt=over).exclude(slot=F("schedule__last_run"))
    # Else what a project's own rows protect would be all that is found.
    old = unprotected(old)
    ids = list(old.order_by("made").values_list("pk", flat=True)[:limit])
    return delete_unprotected(slots(using).filter(pk__in=ids)) if ids else 0
