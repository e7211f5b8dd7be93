"""Spans beside each other: each as if it was read alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from forced import NOW

from cq.figures import comparing
from cq.figures.comparing import beside, by_slots, earlier
from cq.figures.reading import NOTHING, Figures, by_slot, in_all
from cq.figures.steps import DAY, HOUR, MINUTE, TEN_MINUTES, Span, minute_of
from cq.models import Figure
from cq.tables.figure_columns import DURATIONS, WAITS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

DB = "default"
PRESENT = minute_of(NOW)


def count(
    ago: int, name: str = "a", queue: str = "q", step: int = 1, **of: Any
) -> None:
    slot = (PRESENT - ago) // step * step
    Figure.objects.create(
        step=step, slot=slot, name=name, queue=queue, **(of or {"complete": 1})
    )


def counted(rows: Iterator[Any], since: int, until: int) -> int:
    """What a person would add up."""
    return sum(row.complete for row in rows if since <= row.slot < until)


def test_each_span_has_what_is_in_it_also_where_they_overlap_or_are_apart() -> None:
    for ago in (0, 1, 5, 9, 10, 11, 19, 20, 59, 60, 61, 119, 120, 1440, 1445, 10_079):
        for name, queue in (("a", "q"), ("a", "r"), ("b", "q")):
            count(ago, name, queue, complete=ago + 1)
    spans = [
        (PRESENT - 60, PRESENT + 1),
        (PRESENT - 120, PRESENT - 60),
        (PRESENT - 10, PRESENT + 1),
        (PRESENT - 1450, PRESENT - 1430),
        (PRESENT - 20_000, PRESENT - 10_000),
    ]
    found = beside(DB, *spans)
    assert set(found.pairs) == {("a", "q"), ("a", "r"), ("b", "q")}
    for number, (since, until) in enumerate(spans):
        for (name, queue), of in found.pairs.items():
            rows = Figure.objects.filter(name=name, queue=queue)
            assert of[number].complete == counted(rows, since, until) > 0
        every = counted(Figure.objects.all(), since, until)
        assert found.in_all[number].complete == every
    a, b = found.by_name["a"], found.by_name["b"]
    assert [x.complete for x in a] == [2 * x.complete for x in b]
    assert set(found.by_queue) == {"q", "r"}
    assert not found.cut


def test_histograms_are_added_up_as_well() -> None:
    count(1, w03=2, d05=1, complete=3, took=1.5, waited=0.5)
    count(2, queue="r", d05=4, complete=4, failed=2, lost=1, retried=1, timed_out=1)
    span = (PRESENT - 10, PRESENT)
    [of] = beside(DB, span, buckets=WAITS + DURATIONS, of=1).by_name["a"]
    assert (of.complete, of.runs, of.timed_out) == (7, 11, 1)
    assert (of.took, of.waited) == (1.5, 0.5)
    assert (of.waits[3], of.durations[5]) == (2, 5)
    assert NOTHING + of == of


def test_a_histogram_is_read_of_the_spans_that_want_it() -> None:
    count(1, w03=2, d05=1, complete=3)
    count(11, d05=2, complete=2)
    count(21, d05=4, complete=4)
    whole, late = (PRESENT - 20, PRESENT), (PRESENT - 10, PRESENT)
    before = (PRESENT - 30, PRESENT - 20)
    found = beside(DB, whole, before, late, buckets=DURATIONS, of=1).by_name["a"]
    assert [of.complete for of in found] == [5, 4, 3]
    assert [sum(of.durations) for of in found] == [3, 0, 1]
    assert not any(sum(of.waits) for of in found)
    assert sum(beside(DB, whole).in_all[0].durations) == 0


def test_nothing_is_nothing() -> None:
    found = beside(DB, (PRESENT - 10, PRESENT), (PRESENT - 20, PRESENT - 10))
    assert (found.pairs, found.cut) == ({}, False)
    assert found.in_all == [NOTHING, NOTHING]


def test_of_too_many_names_those_that_ran_the_most_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparing, "MOST_GROUPS", 2)
    for n in range(3):
        count(1, f"n{n}", complete=n + 1)
    found = beside(DB, (PRESENT - 10, PRESENT))
    assert set(found.by_name) == {"n2", "n1"}
    assert found.cut


def test_slots_of_two_spans_are_those_of_each() -> None:
    hour = Span.last(timedelta(hours=1), NOW)
    yesterday = earlier(hour, DAY, NOW)
    count(5, complete=2)
    count(DAY + 5, step=TEN_MINUTES, complete=7)
    one, other = by_slots(DB, hour, yesterday)
    assert one == by_slot(DB, hour)
    assert other == by_slot(DB, yesterday)
    assert sum((figures.complete for _, figures in other)) == 7
    assert isinstance(other[0][1], Figures)
    count(4, "100%", complete=3)
    of_one = by_slots(DB, hour, yesterday, name="100%")
    assert of_one == [by_slot(DB, span, name="100%") for span in (hour, yesterday)]
    assert sum(figures.complete for _, figures in of_one[0]) == 3
    wholes = in_all(DB, hour, yesterday, name="100%")
    assert [whole.now.complete for whole in wholes] == [3, 0]
    assert [of.now.complete for of in in_all(DB, hour, yesterday)] == [5, 7]


@pytest.mark.parametrize(
    ("length", "minutes", "step"),
    [
        (timedelta(hours=1), HOUR, MINUTE),
        # By then minutes are folded.
        (timedelta(hours=1), DAY, TEN_MINUTES),
        (timedelta(hours=1), 7 * DAY, HOUR),
        (timedelta(days=1), DAY, TEN_MINUTES),
        (timedelta(days=1), 7 * DAY, HOUR),
        (timedelta(days=7), 7 * DAY, HOUR),
        (timedelta(days=30), 30 * DAY, DAY),
    ],
)
def test_an_earlier_span_is_in_the_finest_step_that_is_kept(
    length: timedelta, minutes: int, step: int
) -> None:
    span = Span.last(length, NOW)
    found = earlier(span, minutes, NOW)
    assert found.step == step
    assert found.since % step == 0
    assert found.since <= span.since - minutes < found.since + step
    last = span.since - minutes + span.length - 1
    assert found.until - step <= last < found.until
    assert (found.until - found.since) % step == 0


def test_the_span_before_ends_where_the_other_begins() -> None:
    for hours in (1, 24, 7 * 24, 30 * 24):
        span = Span.last(timedelta(hours=hours), NOW)
        before = earlier(span, span.length, NOW)
        assert (before.since, before.until) == (span.before, span.since)
