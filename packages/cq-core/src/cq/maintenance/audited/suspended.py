"""The invariants of tasks that are SUSPENDED: that something wakes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q

from cq.maintenance.check import Check
from cq.status import Status
from cq.tables.durable.queries import open_waits_of_any
from cq.tables.queries import edges, tasks

if TYPE_CHECKING:
    from datetime import datetime


def _never_woken(using: str, now: datetime | None) -> Q:
    """Neither the clock nor an event nor a task would wake it."""
    open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    waits = open_waits_of_any(using).filter(task=OuterRef("pk"))
    by_nobody = Q(status=Status.SUSPENDED, run_after__isnull=True)
    return by_nobody & Q(~Exists(open_edges)) & Q(~Exists(waits))


CHECKS = (
    Check("I1", "SUSPENDED, but nothing would wake it", tasks, _never_woken, True),
)
