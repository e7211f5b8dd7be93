"""A check of one invariant: a condition on rows that break it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Q, QuerySet

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


@dataclass(frozen=True, eq=False)
class Check:
    """A check of one invariant: the rows of `rows` for which `broken` is true break it."""

    invariant: str
    what: str
    rows: Callable[[str], QuerySet[Any]]
    broken: Q | Callable[[str, datetime | None], Q]
    #: Whether a row may be so for a moment.
    passing: bool = False
    #: The column with the id of the task that is named.
    names: str = "pk"
    #: The column by which a row is found again.
    key: str = "pk"

    def condition(self, using: str, now: datetime | None) -> Q:
        return self.broken if isinstance(self.broken, Q) else self.broken(using, now)

    def found(self, using: str, now: datetime | None) -> QuerySet[Any]:
        rows = self.rows(using).order_by()
        return rows.filter(self.condition(using, now)).values_list(self.key, self.names)
