"""When a failed attempt is tried again: pure functions of the attempt."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

#: Seconds, or a function of the attempt (1 for the first failure) to seconds.
Backoff = float | Callable[[int], float]
#: Exception classes, or functions that look at the exception and say yes or no.
RetryOn = Sequence[type[BaseException] | Callable[[BaseException], bool]]

FIRST_DELAY = 2.0
LONGEST_DELAY = 3600.0
#: Seconds; what is further away than ten years is a mistake, and no date.
FURTHEST = 3650 * 86400.0


def exponential(attempt: int, jitter: Callable[[], float] = random.random) -> float:
    """Return 2, 4, 8, ... seconds, an hour at most, of which up to half is random.

    "Equal jitter" of the AWS Architecture Blog, "Exponential Backoff And Jitter"
    (2015): half the delay is kept, so that nothing is retried at once.
    """
    # 2 ** 1000 is a fine int but no float.
    delay: float = min(FIRST_DELAY * 2.0 ** min(attempt - 1, 30), LONGEST_DELAY)
    return delay / 2 + delay / 2 * jitter()


def delay_before(attempt: int, backoff: Backoff | None) -> float:
    """Return the seconds to wait after the given failed attempt (1 is the first)."""
    if backoff is None:
        return exponential(attempt)
    seconds = backoff(attempt) if callable(backoff) else backoff
    return min(max(0.0, float(seconds)), FURTHEST)


def delay_within(grace: float, failures: int) -> float | None:
    """Return the seconds to wait after so many failures before, within `grace` in all.

    None when it is over. The delays are 2, 4, 8, ... seconds, the last one shorter.
    """
    spent = FIRST_DELAY * (2.0 ** min(failures, 30) - 1)
    left = grace - spent
    return min(FIRST_DELAY * 2.0 ** min(failures, 30), left) if left > 0 else None


def wants_retry(error: BaseException, retry_on: RetryOn) -> bool:
    """Tell whether `retry_on` covers this error."""
    return any(
        isinstance(error, rule) if isinstance(rule, type) else bool(rule(error))
        for rule in retry_on
    )
