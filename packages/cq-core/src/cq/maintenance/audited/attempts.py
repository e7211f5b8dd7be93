"""The invariants of the history of tasks: whose it is, and how long it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q

from cq.lifecycle.attempts import KEPT
from cq.maintenance.check import Check
from cq.tables.queries import attempts, tasks

if TYPE_CHECKING:
    from datetime import datetime


def _of_nothing(using: str, now: datetime | None) -> Q:
    return Q(~Exists(tasks(using).filter(pk=OuterRef("task_id"))))


def _too_many(using: str, now: datetime | None) -> Q:
    newer = attempts(using).filter(task=OuterRef("task_id"), id__gt=OuterRef("pk"))
    return Q(Exists(newer[KEPT - 1 : KEPT]))


CHECKS = (
    Check("I2", "it has no row, but attempts", attempts, _of_nothing, names="task_id"),
    Check(
        "I6",
        f"more than {KEPT} attempts of it are kept",
        attempts,
        _too_many,
        names="task_id",
    ),
)
