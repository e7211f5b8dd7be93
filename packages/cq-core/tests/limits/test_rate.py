"""Rates: in no span more than the burst and what the rate gives for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cq.limits.claims.rate import Meter

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@given(
    interval=st.sampled_from([0.001, 1 / 90, 0.3, 1.0, 60.0]),
    burst=st.integers(1, 20),
    waits=st.lists(st.floats(0, 3), min_size=1, max_size=60),
    wanted=st.integers(1, 30),
)
def test_no_span_has_more_than_the_burst_and_the_rate(
    interval: float, burst: int, waits: list[float], wanted: int
) -> None:
    starts: list[float] = []
    arrival, at = None, 0.0
    for wait in waits:
        at += wait * interval
        meter = Meter(interval, burst, arrival, NOW + timedelta(seconds=at))
        taken = min(meter.left, wanted)
        meter.take(taken)
        arrival = meter.arrival
        starts += [at] * taken
    for first, began in enumerate(starts):
        for last in range(first, len(starts)):
            span = starts[last] - began
            # A microsecond is what moments are kept by.
            assert last - first + 1 <= burst + (span + 1e-6) / interval + 1e-6


@given(interval=st.sampled_from([0.01, 0.3, 60.0]), burst=st.integers(1, 20))
def test_it_opens_as_soon_as_one_may_start_and_not_before(
    interval: float, burst: int
) -> None:
    meter = Meter(interval, burst, None, NOW)
    meter.take(burst)
    assert meter.left == 0
    wait = meter.opens_in
    assert Meter(interval, burst, meter.arrival, NOW + wait).left == 1
    sooner = NOW + wait - timedelta(microseconds=1)
    assert Meter(interval, burst, meter.arrival, sooner).left == 0


def test_what_is_given_back_may_start() -> None:
    meter = Meter(1.0, 2, None, NOW)
    meter.take(2)
    meter.take(-1)
    assert meter.left == 1


def test_a_rate_that_was_slower_before_holds_nobody_for_longer_than_the_new_one() -> (
    None
):
    slow = Meter(3600.0, 1, None, NOW)
    slow.take(1)
    fast = Meter(0.01, 1, slow.arrival, NOW + timedelta(seconds=1))
    assert fast.opens_in <= timedelta(seconds=0.01)


@pytest.mark.parametrize("back", [1, 60, 3600])
def test_a_clock_that_goes_back_gives_nothing_away(back: int) -> None:
    meter = Meter(1.0, 3, None, NOW)
    meter.take(3)
    earlier = Meter(1.0, 3, meter.arrival, NOW - timedelta(seconds=back))
    assert earlier.left == 0
