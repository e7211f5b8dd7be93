"""Lengths of time as people read them."""

from __future__ import annotations

import pytest

from cq.durations import ago, in_words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 ms"),  # two clocks
        (0.0004, "0 ms"),
        (0.021, "21 ms"),
        (0.9999, "1 s"),
        (2.96, "3 s"),
        (4.25, "4.2 s"),
        (59.7, "59.7 s"),
        (59.96, "1 min"),
        (250, "4 min 10 s"),
        (3599.7, "1 h"),
        (90_061, "1 d 1 h"),
        (86_460, "1 d"),
    ],
)
def test_a_time_is_said_in_the_two_units_that_matter(seconds: float, said: str) -> None:
    assert in_words(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5400, "1 h 30 min"), (90_061, "1 d 1 h 1 min 1 s"), (86_460, "1 d 1 min")],
)
def test_or_to_the_second(seconds: float, said: str) -> None:
    assert in_words(seconds, most=None) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "now"), (0.9, "now"), (1.99, "1 s ago"), (239, "3 min ago")],
)
def test_how_long_ago_is_said_in_one_unit(seconds: float, said: str) -> None:
    assert ago(seconds) == said
