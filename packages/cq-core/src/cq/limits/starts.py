"""Starts that were taken of rates, and given back: their tasks were not begun."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from cq.tables.limits.queries import limit_keys

if TYPE_CHECKING:
    from collections.abc import Iterable


def give_back_starts(using: str, rates: Iterable[tuple[str, float]]) -> None:
    """Give back one start for each of these keys, with the seconds of its interval."""
    given: defaultdict[str, timedelta] = defaultdict(timedelta)
    for key, interval in rates:
        given[key] += timedelta(seconds=interval)
    with transaction.atomic(using=using):
        rows = limit_keys(using).filter(key__in=list(given), arrival__isnull=False)
        for row in rows.order_by("key").select_for_update():
            assert row.arrival is not None
            arrival = row.arrival - given[row.key]
            limit_keys(using).filter(key=row.key).update(arrival=arrival)
