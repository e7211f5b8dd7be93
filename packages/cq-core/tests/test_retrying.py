"""When a failed attempt is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cq.retrying import delay_before, exponential, wants_retry

#: (attempt, least, most): half of the delay is random.
EXPONENTIAL = [
    (1, 1, 2),
    (2, 2, 4),
    (3, 4, 8),
    (10, 512, 1024),
    # 2 ** 12 is 4096, but an hour is the most.
    (12, 1800, 3600),
    (13, 1800, 3600),
    (32_000, 1800, 3600),
]


@pytest.mark.parametrize(("attempt", "least", "most"), EXPONENTIAL)
def test_the_delay_doubles_up_to_an_hour(attempt: int, least: int, most: int) -> None:
    assert exponential(attempt, lambda: 0.0) == least
    assert exponential(attempt, lambda: 1.0) == most
    assert all(least <= delay_before(attempt, None) <= most for _ in range(100))


def test_row_73_ten_thousand_that_failed_together_do_not_come_back_together() -> None:
    delays = {exponential(3) for _ in range(10_000)}

    assert len(delays) > 9_000
    assert max(delays) - min(delays) > 3.5


#: (backoff, attempt, seconds)
BACKOFF: list[tuple[Any, int, float]] = [
    (5, 1, 5.0),
    (5, 9, 5.0),
    (0, 1, 0.0),
    (0.25, 1, 0.25),
    (lambda attempt: attempt**2, 3, 9.0),
    # In the past is now.
    (lambda attempt: -1, 1, 0.0),
    (lambda attempt: float("-inf"), 1, 0.0),
]


@pytest.mark.parametrize(("backoff", "attempt", "seconds"), BACKOFF)
def test_a_backoff_is_seconds_or_makes_them(
    backoff: Any, attempt: int, seconds: float
) -> None:
    assert delay_before(attempt, backoff) == seconds


@pytest.mark.parametrize("endless", [1e300, float("inf"), float("nan")])
def test_row_56_a_backoff_beyond_all_dates_is_one_that_a_row_can_hold(
    endless: float,
) -> None:
    assert timedelta(seconds=delay_before(1, lambda _: endless)) < timedelta(40_000)


class _Odd(ValueError): ...


#: (error, retry_on, whether)
RULES: list[tuple[BaseException, tuple[Any, ...], bool]] = [
    (ValueError(), (Exception,), True),
    (ValueError(), (), False),
    (ValueError(), (KeyError,), False),
    (ValueError(), (KeyError, ValueError), True),
    (_Odd(), (ValueError,), True),
    # Not an Exception, unless it is named.
    (KeyboardInterrupt(), (Exception,), False),
    (ValueError("again"), (lambda error: "again" in str(error),), True),
    (ValueError("never"), (lambda error: "again" in str(error),), False),
    # What it returns need not be a bool.
    (ValueError(), (lambda error: [1],), True),
    (ValueError(), (KeyError, lambda error: True), True),
]


@pytest.mark.parametrize(("error", "rules", "wanted"), RULES)
def test_classes_and_predicates_say_what_is_tried_again(
    error: BaseException, rules: tuple[Any, ...], wanted: bool
) -> None:
    assert wants_retry(error, rules) is wanted
