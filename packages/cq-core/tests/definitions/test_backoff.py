"""When a failed attempt is tried again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cq.definitions.backoff import delay_before, exponential, wants_retry
from cq.definitions.options import Options

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
    # One for each attempt; the last one repeats.
    ((10, 30, 60), 1, 10.0),
    ((10, 30, 60), 2, 30.0),
    ([10, 30, 60], 3, 60.0),
    ((10, 30, 60), 32_000, 60.0),
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


#: (backoff, seconds): after the first attempt, which has raised ValueError("30").
OF_THE_ERROR: list[tuple[Any, float]] = [
    (lambda attempt, error: float(str(error)) * attempt, 30.0),
    (lambda attempt, error=None: 1.0 if error is None else 2.0, 2.0),
    # Its own, whatever it is for.
    (lambda attempt, factor=7: attempt * factor, 7.0),
    (lambda *given: len(given), 1.0),
    (lambda attempt, **more: len(more), 0.0),
    (lambda attempt: timedelta(minutes=1), 60.0),
    (lambda attempt: Decimal("1.5"), 1.5),
    (partial(lambda attempt, factor: attempt * factor, factor=3), 3.0),
    (abs, 1.0),
]


@pytest.mark.parametrize(("backoff", "seconds"), OF_THE_ERROR)
def test_a_backoff_function_gets_the_error_where_it_has_a_place_for_it(
    backoff: Any, seconds: float
) -> None:
    options = Options(backoff=backoff)

    assert options.backoff == options.merged({"retries": 1}).backoff
    assert delay_before(1, options.backoff, ValueError("30")) == seconds


@pytest.mark.parametrize(
    "backoff",
    [
        lambda: 1,
        lambda attempt, error, more: 1,
        lambda attempt, *, error: 1,
        lambda **given: 1,
    ],
)
def test_a_function_that_cannot_be_called_so_is_refused_where_it_is_given(
    backoff: Any,
) -> None:
    with pytest.raises(ValueError, match="must take the attempt, or the attempt and"):
        Options(backoff=backoff)


@pytest.mark.parametrize("returned", [None, "5", True, [1]])
def test_a_backoff_function_that_returns_no_number_is_told_so(returned: Any) -> None:
    def odd(attempt: int) -> Any:
        return returned

    with pytest.raises(ValueError, match=r"odd returned .*; have it return seconds"):
        delay_before(1, Options(backoff=odd).backoff)


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
