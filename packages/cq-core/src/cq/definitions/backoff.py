"""The backoff between attempts: pure functions of how many have failed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from inspect import Parameter, signature
from typing import Any, SupportsFloat

from cq.text import brief

#: Seconds; those of each attempt, of which the last repeats; or a function of the attempt
#: (1 for the first failure), or of that and of what it raised, to seconds.
Backoff = (
    float
    | Sequence[float]
    | Callable[[int], float]
    | Callable[[int, BaseException], float]
)
#: Exception classes, or functions that look at the exception and say yes or no.
RetryOn = Sequence[type[BaseException] | Callable[[BaseException], bool]]

FIRST_DELAY_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 3600.0
#: Seconds; what is further away than ten years is a mistake, and no date.
FURTHEST_SECONDS = 3650 * 86400.0


def exponential(attempt: int, jitter: Callable[[], float] = random.random) -> float:
    """Return 2, 4, 8, ... seconds, an hour at most, of which up to half is random.

    "Equal jitter" of the AWS Architecture Blog, "Exponential Backoff And Jitter"
    (2015): half the delay is kept, so that nothing is retried at once.
    """
    # 2 ** 1000 is a fine int but no float.
    delay: float = min(
        FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 30), LONGEST_DELAY_SECONDS
    )
    return delay / 2 + delay / 2 * jitter()


@dataclass(frozen=True, slots=True)
class BackoffFunction:
    """A backoff function, with what it is called with: looked at once, not at each retry."""

    function: Callable[..., Any]
    takes_error: bool

    @classmethod
    def of(cls, function: Callable[..., Any]) -> BackoffFunction:
        """Raises ValueError for what can't be called with the attempt, or with both."""
        if isinstance(function, cls):
            return function
        try:
            found = list(signature(function).parameters.values())
        except (TypeError, ValueError):
            return cls(function, False)  # written in C, and tells nothing
        required = [p for p in found if _is_required(p)]
        positional = [p for p in found if p.kind in _POSITIONAL]
        takes_more = any(p.kind is Parameter.VAR_POSITIONAL for p in found)
        if (
            len(required) > 2
            or not (positional or takes_more)
            or (any(p.kind is Parameter.KEYWORD_ONLY for p in required))
        ):
            raise ValueError(
                f"backoff is {brief(function)}, but must take the attempt, or the attempt "
                "and the error"
            )
        # A second one that may be left out is its own, unless it is named for this.
        return cls(
            function,
            len(required) == 2 or [p.name for p in positional[1:2]] == ["error"],
        )

    def __call__(self, attempt: int, error: BaseException | None = None) -> Any:
        if self.takes_error:
            return self.function(attempt, error)
        return self.function(attempt)


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _is_required(parameter: Parameter) -> bool:
    optional = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.default is Parameter.empty and parameter.kind not in optional


def delay_before(
    attempt: int, backoff: Backoff | None, error: BaseException | None = None
) -> float:
    """Return the seconds to wait after the given failed attempt (1 is the first).

    error: what it raised. Raises ValueError where a function returns no number.
    """
    if backoff is None:
        return exponential(attempt)
    if callable(backoff):
        seconds = _number(backoff, BackoffFunction.of(backoff)(attempt, error))
    elif isinstance(backoff, Sequence):
        seconds = backoff[min(attempt, len(backoff)) - 1]
    else:
        seconds = backoff
    return min(max(0.0, float(seconds)), FURTHEST_SECONDS)


def _number(backoff: Callable[..., Any], returned: object) -> float:
    if isinstance(returned, timedelta):
        return returned.total_seconds()
    if isinstance(returned, bool) or not isinstance(returned, SupportsFloat):
        name = getattr(getattr(backoff, "function", backoff), "__qualname__", "backoff")
        raise ValueError(
            f"the backoff function {name} returned {brief(returned)}; have it return "
            "seconds, or a timedelta"
        )
    return float(returned)


def delay_within(grace: float, failures: int) -> float | None:
    """Return the seconds to wait after so many failures before, within `grace` in all.

    None when it is over. The delays are 2, 4, 8, ... seconds, the last one shorter.
    """
    spent = FIRST_DELAY_SECONDS * (2.0 ** min(failures, 30) - 1)
    left = grace - spent
    return (
        min(FIRST_DELAY_SECONDS * 2.0 ** min(failures, 30), left) if left > 0 else None
    )


def wants_retry(error: BaseException, retry_on: RetryOn) -> bool:
    """Tell whether `retry_on` covers this error."""
    return any(
        isinstance(error, rule) if isinstance(rule, type) else bool(rule(error))
        for rule in retry_on
    )
