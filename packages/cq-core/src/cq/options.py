"""What ``@task`` and ``.using()`` take, checked where it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .conf import conf

if TYPE_CHECKING:
    from .retrying import Backoff, RetryOn

ON_LOST_RETRY = "retry"
ON_LOST_FAIL = "fail"
LONGEST_NAME = 200
LONGEST_QUEUE = 100
LONGEST_KEY = 200
#: What is further away has no date in some database.
LONGEST_SPAN = timedelta(days=36_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a task runs.

    atomic: run inside one transaction with its own completion.
    queue: name of the queue; see ``CQ_QUEUES``.
    priority: -100..100, higher first.
    run_after: aware datetime, or timedelta from now; not started before.
    expires: aware datetime, or timedelta from now; not started later (EXPIRED).
    timeout: seconds of running.
    retries: how often a failed run is tried again.
    retry_on: exception classes, or predicates of the exception.
    backoff: seconds before a retry, or a function of the attempt; None: exponential.
    result_ttl: seconds a finished row is kept; None: ``CQ_RESULT_TTL``.
    unique: a key, or a function of the call's arguments that makes one.
    on_lost: "retry" or "fail"; None: "retry" when atomic, "fail" when not.
    log_limit: lines kept in the log; None: ``CQ_LOG_LIMIT``.
    """

    atomic: bool = True
    queue: str = "default"
    priority: int = 0
    run_after: datetime | timedelta | None = None
    expires: datetime | timedelta | None = None
    timeout: float | None = None
    retries: int = 0
    retry_on: RetryOn = (Exception,)
    backoff: Backoff | None = None
    result_ttl: float | None = None
    unique: str | Callable[..., str] | None = None
    on_lost: str | None = None
    log_limit: int | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def reruns_when_lost(self) -> bool:
        """Whether a run whose worker died is run again by itself."""
        return (self.on_lost or (ON_LOST_RETRY if self.atomic else ON_LOST_FAIL)) == (
            ON_LOST_RETRY
        )

    def merged(self, changes: dict[str, Any]) -> Options:
        """Return these options with `changes`.

        Raises TypeError for an option that does not exist, ValueError for a value
        that it may not have.
        """
        unknown = sorted(set(changes) - NAMES)
        if unknown:
            raise TypeError(
                f"there is no option {unknown[0]!r}; there are {', '.join(sorted(NAMES))}"
            )
        return replace(self, **changes)


NAMES = frozenset(f.name for f in fields(Options))


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _seconds(value: object) -> bool:
    return _number(value) and 0 <= value <= LONGEST_SPAN.total_seconds()  # type: ignore[operator]


def _moment(value: object) -> bool:
    if isinstance(value, datetime):
        return value.tzinfo is not None
    return isinstance(value, timedelta) and abs(value) <= LONGEST_SPAN


def _rules(value: object) -> bool:
    return isinstance(value, Sequence) and all(
        issubclass(rule, BaseException) if isinstance(rule, type) else callable(rule)
        for rule in value
    )


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "atomic": (lambda v: isinstance(v, bool), "True or False"),
    "queue": (
        lambda v: isinstance(v, str) and 0 < len(v) <= LONGEST_QUEUE,
        f"a name of 1 to {LONGEST_QUEUE} characters",
    ),
    "priority": (lambda v: _whole(v) and -100 <= v <= 100, "a whole number, -100..100"),
    "run_after": (
        lambda v: v is None or _moment(v),
        "an aware datetime or a timedelta",
    ),
    "expires": (lambda v: v is None or _moment(v), "an aware datetime or a timedelta"),
    "timeout": (
        lambda v: v is None or (_seconds(v) and v > 0),
        "a positive number of seconds",
    ),
    "retries": (
        lambda v: _whole(v) and 0 <= v <= 32_000,
        "a whole number, 0..32000",
    ),
    "retry_on": (_rules, "a sequence of exception classes or predicates"),
    "backoff": (
        lambda v: v is None or callable(v) or _seconds(v),
        "a number of seconds, or a function of the attempt",
    ),
    "result_ttl": (
        lambda v: v is None or _seconds(v),
        "a number of seconds, or None",
    ),
    "unique": (
        lambda v: v is None or callable(v) or (isinstance(v, str) and v != ""),
        "a key, or a function that makes one",
    ),
    "on_lost": (
        lambda v: v in (None, ON_LOST_RETRY, ON_LOST_FAIL),
        f'"{ON_LOST_RETRY}" or "{ON_LOST_FAIL}"',
    ),
    "log_limit": (lambda v: v is None or (_whole(v) and v > 0), "a number of lines"),
}


def _check(options: Options) -> None:
    for name, (valid, wanted) in _RULES.items():
        value = getattr(options, name)
        if not valid(value):
            raise ValueError(f"{name} is {value!r}, but must be {wanted}")


def check_queue(queue: str) -> None:
    """Raise ValueError when ``CQ_QUEUES`` does not list `queue`."""
    allowed = conf.QUEUES
    if allowed is not None and queue not in allowed:
        raise ValueError(
            f"queue {queue!r} is not in CQ_QUEUES ({', '.join(sorted(allowed))}); "
            "add it there or use one of those"
        )
