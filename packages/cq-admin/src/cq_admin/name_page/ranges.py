"""The figures of a name over the hour, the day, the week and the month, and before each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cq.figures.reading import in_all
from cq.figures.steps import Span
from cq_admin.figures.ranges import LENGTHS
from cq_admin.figures.words import about, change, number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cq.figures.reading import Compared


class Row(NamedTuple):
    """One range, as it is shown."""

    label: Any
    runs: str
    before: str
    complete: str
    failed: str
    retried: str
    lost: str
    timed_out: str
    waited: str
    median: str
    took: str


def ranges(using: str, name: str, now: datetime) -> Iterator[Row]:
    """Give each range, all of them by one statement."""
    spans = [Span.last(length, now) for length, _label in LENGTHS.values()]
    found = in_all(using, *spans, name=name)
    for (_length, label), compared in zip(LENGTHS.values(), found, strict=True):
        yield _row(label, compared)


def _row(label: Any, found: Compared) -> Row:
    now, before = found.now, found.before
    return Row(
        label,
        number(now.runs),
        change(now.runs, before.runs),
        number(now.complete),
        number(now.failed),
        number(now.retried),
        number(now.lost),
        number(now.timed_out),
        about(now.wait(0.95)),
        about(now.duration(0.5)),
        about(now.duration(0.95)),
    )
