"""The audit: a look for rows that break a promise, on a live system. Invariants I1 to I13.

Reads only. What a running system mends by itself may be so for a moment: a parent whose
last subtask has just settled, a worker that died a second ago. Such rows are looked at
twice, :func:`cq.maintenance.invariants.grace` seconds apart, and only what was so both times is
reported. The others are facts of committed rows and need one look.

What may be so for a moment is found in one statement each, which costs what it costs
the sweep every few seconds. The facts are checked in pages by id, newest first, until
`seconds` are over.

:mod:`cq.maintenance.invariants` says what is looked for, and what the rows can't tell.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Q, QuerySet

from .invariants import CHECKS, grace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from uuid import UUID

    from .check import Check

ROWS_PER_PAGE = 5_000
#: Rows of one check that are looked at twice, or counted.
MAX_ROWS = 1_000


class Finding(NamedTuple):
    """One way in which an invariant is broken, and by which tasks."""

    invariant: str
    what: str
    #: Ids, at most as many as were asked for.
    tasks: list[UUID]
    #: Rows that were found; `MOST` stands for as many or more.
    total: int


class Report(NamedTuple):
    """The findings of an audit, and how much it has looked at."""

    findings: list[Finding]
    #: Rows, by table, that were checked for facts.
    looked_at: dict[str, int]
    #: Whether that was all of them.
    whole: bool


def audit(
    using: str,
    *,
    limit: int = 20,
    seconds: float = 60.0,
    now: datetime | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> Report:
    """Check the invariants; `limit` tasks at most are named for each finding.

    seconds: when the pages end; the pause between two looks may come on top.
    """
    began = time.monotonic()
    found: dict[Check, dict[Any, UUID]] = defaultdict(dict)
    for check in (c for c in CHECKS if c.passing):
        found[check].update(check.found(using, now)[:MAX_ROWS])
    looked_at: dict[str, int] = {}
    whole = True
    for rows in dict.fromkeys(c.rows for c in CHECKS if not c.passing):
        checks = [c for c in CHECKS if c.rows is rows and not c.passing]
        table = rows(using).model._meta.db_table
        looked_at[table] = 0
        for low, high, count in _pages(rows(using)):
            if time.monotonic() >= began + seconds:
                whole = False
                break
            _look(using, checks, low, high, found, now)
            looked_at[table] += count
    suspects = [c for c in CHECKS if c.passing and found[c]]
    if suspects:
        pause(max(0.0, began + grace() - time.monotonic()))
    for check in suspects:
        same = {f"{check.key}__in": list(found[check])}
        found[check] = dict(check.found(using, now).filter(**same))
    findings = [
        Finding(
            c.invariant, c.what, list(dict.fromkeys(ids.values()))[:limit], len(ids)
        )
        for c, ids in found.items()
        if ids
    ]
    return Report(
        sorted(findings, key=lambda f: (int(f.invariant[1:]), f.what)), looked_at, whole
    )


def _pages(rows: QuerySet[Any]) -> Iterator[tuple[Any, Any, int]]:
    """Yield (lowest id, the id that it ends before, rows) of pages, newest first."""
    high = None
    while True:
        below = rows.order_by("-pk").values_list("pk", flat=True)
        if high is not None:
            below = below.filter(pk__lt=high)
        low = below[ROWS_PER_PAGE - 1 : ROWS_PER_PAGE].first()
        if low is None:
            yield None, high, below.count()
            return
        yield low, high, ROWS_PER_PAGE
        high = low


def _look(
    using: str,
    checks: list[Check],
    low: Any,
    high: Any,
    found: dict[Check, dict[Any, UUID]],
    now: datetime | None,
) -> None:
    page = Q()
    if low is not None:
        page &= Q(pk__gte=low)
    if high is not None:
        page &= Q(pk__lt=high)
    # One statement for all that a row says by itself: there is hardly ever anything.
    alone = [c for c in checks if isinstance(c.broken, Q)]
    if alone:
        either = Q()
        for check in alone:
            either |= check.condition(using, now)
        if not checks[0].rows(using).order_by().filter(page, either).exists():
            checks = [c for c in checks if c not in alone]
    for check in checks:
        room = MAX_ROWS - len(found[check])
        if room:
            found[check].update(check.found(using, now).filter(page)[:room])
