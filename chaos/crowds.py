"""Limits, by the ledger of stays and the history of claims: how many there were at once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from cq.models import Attempt, Task
from cq.status import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    #: When a run came, and when it went, as far as that is known.
    Span = tuple[datetime, datetime | None]


_CUT_OFF = (AttemptOutcome.LOST, AttemptOutcome.DRAINED)


def spans() -> dict[str, list[Span]]:
    """Return who was there under each key, and how long.

    A run whose claim was lost has its place until that is noticed. One that was frozen
    until then may come back beside its successor, until it is told.
    """
    from work.models import Stay

    lost = _lost()
    found: dict[str, list[Span]] = defaultdict(list)
    for stay in Stay.objects.order_by("pk").iterator():
        ends = [e for s, e in lost.get(stay.task, ()) if s <= stay.came <= e]
        found[stay.key].append((stay.came, min(ends, default=stay.went)))
    return found


def _lost() -> dict[UUID, list[tuple[datetime, datetime]]]:
    rows = Attempt.objects.filter(outcome__in=_CUT_OFF).order_by("pk")
    found = defaultdict(list)
    for task, started, ended in rows.values_list("task_id", "started", "ended"):
        if started is not None:
            found[task].append((started, ended))
    return found


def most_at_once(found: Iterable[Span]) -> int:
    """Return the most that were there at one moment."""
    steps: list[tuple[datetime, int]] = []
    for came, went in found:
        if went is not None:
            # Who goes at the moment at which another comes made room for it.
            steps += [(came, 1), (went, -1)]
    there = most = 0
    for _, step in sorted(steps):
        there += step
        most = max(most, there)
    return most


def starts(name: str) -> list[datetime]:
    """Return when runs of a task were started, in order."""
    last = Task.objects.filter(name=name, started__isnull=False).order_by()
    before = Attempt.objects.filter(task__name=name, started__isnull=False).order_by()
    times = [
        *last.values_list("pk", "started"),
        *before.values_list("task_id", "started"),
    ]
    # What was lost is LOST in both.
    return sorted(moment for _, moment in set(times))


def most_within(moments: list[datetime], seconds: float) -> int:
    """Return the most of them in one window of that length."""
    first = most = 0
    for n, moment in enumerate(moments):
        while (moment - moments[first]).total_seconds() >= seconds:
            first += 1
        most = max(most, n - first + 1)
    return most
