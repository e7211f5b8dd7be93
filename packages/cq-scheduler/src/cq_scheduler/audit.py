"""The scheduler's invariant, which ``manage.py cq audit`` checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q

from cq.maintenance.check import Check
from cq.maintenance.invariants import register

from .models import slots

if TYPE_CHECKING:
    from datetime import datetime


def _made_twice(using: str, now: datetime | None) -> Q:
    same = slots(using).filter(schedule=OuterRef("schedule"), slot=OuterRef("slot"))
    return Q(Exists(same.exclude(pk=OuterRef("pk"))))


register(
    Check(
        "I10",
        "made more than once for one slot",
        slots,
        _made_twice,
        names="task_id",
    )
)
