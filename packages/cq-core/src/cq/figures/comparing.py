"""Spans of time beside each other: the figures of several at once, by one statement.

Spans may overlap, and lie far apart: the last hour, the same hour a week ago.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from cq.tables.figure_columns import ENDS, NUMBERS, SUMS

from .ahead import within
from .reading import NOTHING, Figures, rows_of
from .steps import DAY, FIGURES_KEPT, STEPS, Span, minute_of, moment_of, slot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from .steps import Kept

#: Rows that are read at once: those of the names that ran the most.
MOST_GROUPS = 4_000
_SUMS = ", ".join(f"SUM({column})" for column in NUMBERS)

#: Minutes, from the first up to, and without, the other.
Minutes = tuple[int, int]
#: Of each name and queue the figures of each span.
Pairs = dict[tuple[str, str], list[Figures]]


@dataclass(frozen=True)
class Beside:
    """The figures of several spans. cut: there are more names than were read."""

    pairs: Pairs
    spans: int
    cut: bool = False

    @cached_property
    def by_name(self) -> dict[str, list[Figures]]:
        """The figures of each name, in all queues."""
        return self._added(lambda pair: pair[0])

    @cached_property
    def by_queue(self) -> dict[str, list[Figures]]:
        """The figures of each queue."""
        return self._added(lambda pair: pair[1])

    @cached_property
    def in_all(self) -> list[Figures]:
        """The figures of all that was read."""
        return self._added(lambda pair: "").get("", [NOTHING] * self.spans)

    def _added(
        self, label: Callable[[tuple[str, str]], str]
    ) -> dict[str, list[Figures]]:
        found: dict[str, list[Figures]] = {}
        for pair, figures in self.pairs.items():
            of = found.get(label(pair))
            found[label(pair)] = (
                [a + b for a, b in zip(of, figures, strict=True)] if of else figures
            )
        return found


def earlier(span: Span, minutes: int, now: datetime, kept: Kept = FIGURES_KEPT) -> Span:
    """Return the span so many minutes before, in the finest step that still has it.

    In a coarser step it has the whole slots that it lies in, and so is to be compared by
    the minute.
    """
    present, first = minute_of(now), span.since - minutes
    for step in STEPS:
        oldest = slot_of(present - kept.get(step, present), step)
        if step >= span.step and (step == DAY or slot_of(first, step) >= oldest):
            since = slot_of(first, step)
            until = slot_of(first + span.length - 1, step) + step
            return Span(since, until, step, until - since)
    raise AssertionError("the last step is kept for all")


def by_slots(
    using: str, *spans: Span, name: str | None = None
) -> list[list[tuple[datetime, Figures]]]:
    """Return the figures of each slot of each span, of those also that have none.

    name: of that alone.
    """
    of_name, params = ("", []) if name is None else (" AND name = %s", [name])
    arms = " UNION ALL ".join(
        f"SELECT {number} AS part, slot - slot %% {span.step:d} AS begins, {_SUMS} "
        f"FROM cq_figures WHERE {within(span.since, span.until, span.step)}{of_name} "
        f"GROUP BY begins"
        for number, span in enumerate(spans)
    )
    rows = rows_of(using, arms, params * len(spans))
    found = {tuple(row[:2]): Figures.of(row[2:]) for row in rows}
    return [
        [(moment_of(slot), found.get((number, slot), NOTHING)) for slot in span.slots]
        for number, span in enumerate(spans)
    ]


def beside(
    using: str, *spans: Minutes, buckets: Sequence[str] = (), of: int = 0
) -> Beside:
    """Return the figures of each name in each queue, in each of these spans.

    buckets: the histogram that is read, `WAITS` or `DURATIONS`, of the first `of` spans.
    Each column of a histogram costs as much as all the rest of a row.
    """
    edges = sorted({edge for span in spans for edge in span})
    wanted = [part for part in pairwise(edges) if _is_in(part, spans)]
    with_buckets = [part for part in wanted if _is_in(part, spans[:of])]
    without = [part for part in wanted if part not in with_buckets]
    read = [number for number in NUMBERS if number in (*ENDS, *SUMS, *buckets)]
    arms = [
        _grouped(edges.index(since), since, until, read, columns)
        for some, columns in ((with_buckets, buckets), (without, ()))
        for since, until in some
    ]
    rows = rows_of(
        using,
        f"SELECT * FROM ({' UNION ALL '.join(arms)}) f "
        f"ORDER BY complete + failed + retried + lost DESC, name, queue, part "
        f"LIMIT {MOST_GROUPS + 1}",
    )
    pairs: defaultdict[tuple[str, str], list[Figures]] = defaultdict(
        lambda: [NOTHING] * len(spans)
    )
    for name, queue, part, *numbers in rows[:MOST_GROUPS]:
        figures, begins = Figures.of(numbers, read), edges[part]
        found = pairs[name, queue]
        for number, (since, until) in enumerate(spans):
            if since <= begins < until:
                found[number] += figures
    return Beside(dict(pairs), len(spans), len(rows) > MOST_GROUPS)


def _grouped(
    part: int, since: int, until: int, read: Sequence[str], buckets: Sequence[str]
) -> str:
    sums = ", ".join(
        f"SUM({column}) AS {column}"
        if column in (*ENDS, *SUMS, *buckets)
        else f"0 AS {column}"
        for column in read
    )
    # The part is no column to group by: with one more PostgreSQL expects so many groups
    # that it puts all rows in order by their names, instead of adding them up at once.
    return (
        f"SELECT name, queue, {part:d} AS part, {sums} FROM cq_figures "
        f"WHERE {within(since, until)} GROUP BY name, queue"
    )


def _is_in(part: Minutes, spans: Sequence[Minutes]) -> bool:
    return any(since <= part[0] and part[1] <= until for since, until in spans)
