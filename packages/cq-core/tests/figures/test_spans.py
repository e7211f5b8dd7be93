"""Spans of time: which step they are in, and what they begin and end with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from cq.figures.steps import (
    DEPTHS_KEPT,
    FIGURES_KEPT,
    MOST_POINTS,
    Span,
    minute_of,
    moment_of,
    slot_of,
)

NOW = datetime(2030, 6, 1, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "step", "points"),
    [(1, 1, 61), (24, 10, 145), (7 * 24, 60, 169), (30 * 24, 1440, 31)],
)
def test_each_range_has_its_step(hours: int, step: int, points: int) -> None:
    span = Span.last(timedelta(hours=hours), NOW)
    assert (span.step, len(span.slots)) == (step, points)
    assert moment_of(span.slots[-1]) <= NOW
    assert span.length == hours * 60
    # It begins a slot, and so does the span before.
    assert span.since % step == span.before % step == 0


@pytest.mark.parametrize("minutes", range(1, 60 * 24 * 180, 9_771))
@pytest.mark.parametrize("kept", [FIGURES_KEPT, DEPTHS_KEPT], ids=["figures", "depths"])
def test_what_it_and_the_span_before_need_is_kept_in_its_step(
    minutes: int, kept: dict[int, int]
) -> None:
    for second in range(0, 3600, 1117):
        now = NOW + timedelta(seconds=second)
        span = Span.last(timedelta(minutes=minutes), now, kept)
        assert len(span.slots) <= MOST_POINTS + 1
        finer = [step for step in kept if step < span.step]
        if span.step in kept and span.step != 1440:
            coarser = next(s for s in (10, 60, 1440) if s > span.step)
            folded = slot_of(minute_of(now) - kept[span.step], coarser)
            assert span.before >= folded
        assert finer == sorted(finer)


def test_a_span_of_the_past_is_in_the_step_that_is_left_of_it() -> None:
    yesterday = NOW - timedelta(days=1)
    span = Span.between(yesterday - timedelta(hours=1), yesterday, NOW)
    assert (span.step, span.length) == (10, 60)
    hour = Span.between(NOW - timedelta(hours=1), NOW, NOW)
    assert (hour.step, len(hour.slots), hour.length) == (1, 60, 60)


def test_an_empty_span_and_an_endless_one_are_errors() -> None:
    with pytest.raises(ValueError, match="has nothing in it"):
        Span.between(NOW, NOW, NOW)
    with pytest.raises(ValueError, match="the longest has 180 days"):
        Span.last(timedelta(days=200), NOW)


def test_steps_divide_each_other() -> None:
    assert all(b % a == 0 for a, b in pairwise(FIGURES_KEPT))
