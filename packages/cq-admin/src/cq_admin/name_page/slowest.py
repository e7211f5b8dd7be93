"""The slowest of the newest runs of a name, at a bounded cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import DurationField, ExpressionWrapper, F

from cq.status import FINAL

if TYPE_CHECKING:
    from django.db.models import QuerySet

#: The newest tasks of all names, among which it is looked.
NEWEST = 10_000
SLOWEST = 20


def slowest(rows: QuerySet[Any, Any], everything: QuerySet[Any, Any], name: str) -> Any:
    """Return those that took longest, by two statements.

    everything: all tasks, whose newest are looked through; rows: those for the reader.
    """
    newest = everything.order_by("-pk").values_list("pk", flat=True)
    rows = rows.filter(pk__gte=_oldest(newest))
    took = ExpressionWrapper(F("finished") - F("started"), DurationField())
    found = rows.filter(
        name=name,
        status__in=sorted(FINAL),
        started__isnull=False,
        finished__isnull=False,
    )
    columns = ("name", "status", "started", "finished", "queue")
    return list(
        found.annotate(took=took).order_by("-took", "-pk").only(*columns)[:SLOWEST]
    )


def _oldest(newest: QuerySet[Any, Any]) -> UUID:
    """Return the id of the last that is looked at, or the lowest of all."""
    found = list(newest[NEWEST - 1 : NEWEST])
    return found[0] if found else UUID(int=0)
