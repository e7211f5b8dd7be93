"""Figures of a span of time: by slot, by name, by queue. One bounded statement each.

What is folded already and what is not are added up alike: a row counts for the slot that
its beginning is in, whatever its step.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.tables.figure_columns import NUMBERS, WAITS

from .ahead import within
from .percentiles import percentile
from .steps import moment_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .steps import Span

#: Names, or queues, of a table: those with the most runs.
MOST_ROWS = 500
#: As many of the span, and of the one before.
_MOST_GROUPS = 4 * MOST_ROWS

_SUMS = ", ".join(f"SUM({column})" for column in NUMBERS)
_RUNS = "SUM(complete + failed + retried + lost)"

#: The histogram of no runs, or one that was not read.
NO_BUCKETS = (0,) * len(WAITS)


@dataclass(frozen=True, slots=True)
class Figures:
    """Runs that have ended, by how; and the waiting and the duration of the successful.

    Those that timed out are among the failed and the retried. waited, took: seconds, added
    up. waits, durations: by bucket, see `cq.tables.figure_columns.BOUNDS`.
    """

    complete: int = 0
    failed: int = 0
    retried: int = 0
    lost: int = 0
    timed_out: int = 0
    waited: float = 0.0
    took: float = 0.0
    waits: tuple[int, ...] = NO_BUCKETS
    durations: tuple[int, ...] = NO_BUCKETS

    @classmethod
    def of(cls, numbers: Sequence[Any], columns: Sequence[str] = NUMBERS) -> Figures:
        """Return what a row of these columns says; MySQL adds up to decimals.

        columns: `ENDS`, `SUMS`, and of each histogram all columns or none.
        """
        complete, failed, retried, lost, timed_out, waited, took, *buckets = numbers
        waits = len(WAITS) if WAITS[0] in columns else 0
        return cls(
            int(complete),
            int(failed),
            int(retried),
            int(lost),
            int(timed_out),
            float(waited),
            float(took),
            tuple(map(int, buckets[:waits])) or NO_BUCKETS,
            tuple(map(int, buckets[waits:])) or NO_BUCKETS,
        )

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.complete + other.complete,
            self.failed + other.failed,
            self.retried + other.retried,
            self.lost + other.lost,
            self.timed_out + other.timed_out,
            self.waited + other.waited,
            self.took + other.took,
            _added(self.waits, other.waits),
            _added(self.durations, other.durations),
        )

    @property
    def runs(self) -> int:
        """How many runs have ended."""
        return self.complete + self.failed + self.retried + self.lost

    def wait(self, share: float) -> float | None:
        """Return the seconds that this share did not wait longer than, about."""
        return percentile(self.waits, share)

    def duration(self, share: float) -> float | None:
        """Return the seconds that this share did not take longer than, about."""
        return percentile(self.durations, share)


def _added(some: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    # A page adds up thousands, and most of them have only one of their histograms.
    if more is NO_BUCKETS:
        return some
    return more if some is NO_BUCKETS else tuple(map(add, some, more))


NOTHING = Figures()


@dataclass(frozen=True, slots=True)
class Compared:
    """The figures of a span, and of the one before."""

    now: Figures = NOTHING
    before: Figures = NOTHING


def by_slot(
    using: str, span: Span, *, name: str | None = None, queue: str | None = None
) -> list[tuple[datetime, Figures]]:
    """Return the figures of each slot of a span, of those also in which nothing ended.

    name, queue: of those alone.
    """
    where, params = _where(span.since, span.until, span.step, name, queue)
    rows = rows_of(
        using,
        f"SELECT slot - slot %% {span.step} AS begins, {_SUMS} FROM cq_figures "
        f"WHERE {where} GROUP BY begins",
        params,
    )
    found = {row[0]: Figures.of(row[1:]) for row in rows}
    return [(moment_of(slot), found.get(slot, NOTHING)) for slot in span.slots]


def by_name(using: str, span: Span, *, queue: str | None = None) -> dict[str, Compared]:
    """Return the figures of each name in a span, and in the one before.

    Those with the most runs first, `MOST_ROWS` at most. queue: in that alone.
    """
    return _compared(using, "name", span, None, queue)


def by_queue(using: str, span: Span, *, name: str | None = None) -> dict[str, Compared]:
    """Return the figures of each queue in a span, and in the one before.

    Those with the most runs first, `MOST_ROWS` at most. name: of that alone.
    """
    return _compared(using, "queue", span, name, None)


def in_all(
    using: str, *spans: Span, name: str | None = None, queue: str | None = None
) -> list[Compared]:
    """Return the figures of each span as a whole, and of the one before it."""
    arms, params = [], []
    for number, span in enumerate(spans):
        where, values = _where(span.before, span.until, span.step, name, queue)
        arms.append(
            f"SELECT {number} AS part, {_recent(span)}, {_SUMS} FROM cq_figures "
            f"WHERE {where} GROUP BY recent"
        )
        params += values
    rows = rows_of(using, " UNION ALL ".join(arms), params)
    found = {tuple(row[:2]): Figures.of(row[2:]) for row in rows}
    return [
        Compared(found.get((number, 1), NOTHING), found.get((number, 0), NOTHING))
        for number in range(len(spans))
    ]


def _compared(
    using: str, by: str, span: Span, name: str | None, queue: str | None
) -> dict[str, Compared]:
    where, params = _where(span.before, span.until, span.step, name, queue)
    rows = rows_of(
        using,
        f"SELECT {by} AS label, {_recent(span)}, {_SUMS} FROM cq_figures "
        f"WHERE {where} GROUP BY label, recent "
        f"ORDER BY recent DESC, {_RUNS} DESC, label LIMIT {_MOST_GROUPS}",
        params,
    )
    found: dict[str, dict[int, Figures]] = {}
    for label, recent, *numbers in rows:
        if label in found or len(found) < MOST_ROWS:
            found.setdefault(label, {})[recent] = Figures.of(numbers)
    return {
        label: Compared(of.get(1, NOTHING), of.get(0, NOTHING))
        for label, of in found.items()
    }


def _recent(span: Span) -> str:
    """Return the column that tells a span from the one before."""
    return f"CASE WHEN slot >= {span.since:d} THEN 1 ELSE 0 END AS recent"


def _where(
    since: int, until: int, step: int, name: str | None, queue: str | None
) -> tuple[str, list[str]]:
    where = [within(since, until, step)]
    params = []
    for column, value in (("name", name), ("queue", queue)):
        if value is not None:
            where.append(f"{column} = %s")
            params.append(value)
    return " AND ".join(where), params


def rows_of(using: str, sql: str, params: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """Return what a statement finds; a "%" in it is written twice."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [*params])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
