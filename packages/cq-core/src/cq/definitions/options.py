"""The options of ``@task`` and ``.using()``, checked where they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Any

from cq.conf import conf
from cq.durations import LONGEST_SPAN as LONGEST_SPAN
from cq.durations import WORDS, are_spans, is_span, seconds
from cq.text import brief, unstorable

from .backoff import BackoffFunction
from .combinations import check_together
from .tags import WANTED as WANTED_TAGS
from .tags import are_tags

if TYPE_CHECKING:
    from .backoff import Backoff, RetryOn

ON_LOST_RETRY = "retry"
ON_LOST_FAIL = "fail"
LONGEST_NAME = 200
LONGEST_QUEUE = 100
LONGEST_KEY = 200
#: What is nearer to the ends of the calendar has no date in some time zone.
FIRST_MOMENT = datetime.min.replace(year=1000, tzinfo=UTC)
LAST_MOMENT = datetime.max.replace(day=30, tzinfo=UTC)


class Stored(Enum):
    """The place where a change of an option by ``.using()`` is kept until the task runs."""

    #: A column, which who claims, sweeps or prunes looks at.
    COLUMN = "column"
    #: The column `options`, which only the runner reads.
    FOR_RUNNER = "for the runner"
    #: There too, beside what was captured: who reads it is who enters it.
    CONTEXT = "context"
    #: There too, with those of the parent, and in a table of their own for who searches.
    TAGS = "tags"
    #: Nowhere: it is code, and stands at ``@task`` alone.
    CODE = "code"


_COLUMN = {Stored: Stored.COLUMN}
_FOR_RUNNER = {Stored: Stored.FOR_RUNNER}
_CONTEXT = {Stored: Stored.CONTEXT}
_TAGS = {Stored: Stored.TAGS}
_CODE = {Stored: Stored.CODE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a task.

    atomic: run inside one transaction with its own completion.
    queue: name of the queue; see ``CQ_QUEUES``.
    priority: -100..100, higher first.
    run_after: aware datetime, or timedelta from now; not started before.
    delay: seconds, or a timedelta, from when it could first run: from now, or from when what it waits for has settled. With `run_after` too, the later of both.
    expires: aware datetime, or timedelta from now; not started later (EXPIRED).
    timeout: seconds of running, or a timedelta.
    retries: how often a failed run is tried again.
    retry_on: exception classes, or predicates of the exception.
    backoff: seconds or a timedelta before a retry, a list of these, one for each attempt, of which the last repeats, or a function of the attempt, or of the attempt and the error; None: exponential.
    result_ttl: seconds, a timedelta, or text such as "7d" that a finished row is kept, or "forever"; None: as ``CQ_RESULT_TTL`` says.
    unique: a key of up to 200 characters, at ``@task`` a format string over the arguments by name, or a function of the call's arguments that makes one.
    unique_for: seconds, or a timedelta, that the key is remembered once the task has succeeded: a call within them returns that task.
    unique_for_failed: True: once it has settled, whatever its outcome.
    debounce: seconds, or a timedelta, for which a call waits: a further one replaces its arguments, and they begin anew.
    on_lost: "retry" or "fail"; None: "retry" when atomic, "fail" when not.
    log_limit: lines kept in the log; None: ``CQ_LOG_LIMIT``.
    context: values by the names of carriers, in place of those that ``CQ_CONTEXT`` captures.
    tags: up to 10 texts that it is found by, or a function of the call's arguments that makes them; its subtasks have them, too.
    schedulable: False: no form and no import makes a schedule of it, only code does.
    redact: names of arguments and of keys, at any depth, whose values nobody is shown.
    """

    atomic: bool = field(default=True, metadata=_FOR_RUNNER)
    queue: str = field(default="default", metadata=_COLUMN)
    priority: int = field(default=0, metadata=_COLUMN)
    run_after: datetime | timedelta | None = field(default=None, metadata=_COLUMN)
    delay: float | None = field(default=None, metadata=_COLUMN)
    expires: datetime | timedelta | None = field(default=None, metadata=_COLUMN)
    timeout: float | None = field(default=None, metadata=_FOR_RUNNER)
    retries: int = field(default=0, metadata=_FOR_RUNNER)
    retry_on: RetryOn = field(default=(Exception,), metadata=_CODE)
    backoff: Backoff | None = field(default=None, metadata=_FOR_RUNNER)
    result_ttl: float | None = field(default=None, metadata=_COLUMN)
    unique: str | Callable[..., str] | None = field(default=None, metadata=_COLUMN)
    unique_for: float | None = field(default=None, metadata=_COLUMN)
    unique_for_failed: bool = field(default=False, metadata=_COLUMN)
    debounce: float | None = field(default=None, metadata=_COLUMN)
    on_lost: str | None = field(default=None, metadata=_COLUMN)
    log_limit: int | None = field(default=None, metadata=_FOR_RUNNER)
    context: dict[str, Any] | None = field(default=None, metadata=_CONTEXT)
    tags: Sequence[str] | Callable[..., Sequence[str] | None] = field(
        default=(), metadata=_TAGS
    )
    schedulable: bool = field(default=True, metadata=_CODE)
    redact: Sequence[str] = field(default=(), metadata=_CODE)

    def __post_init__(self) -> None:
        for name, (valid, wanted) in _RULES.items():
            value = getattr(self, name)
            if not valid(value):
                raise ValueError(f"{name} is {brief(value)}, but must be {wanted}")
        for name, as_kept in _DURATIONS.items():
            object.__setattr__(self, name, as_kept(getattr(self, name)))

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
        merged = replace(self, **changes)
        check_together(changes, merged)
        return merged


NAMES = frozenset(f.name for f in fields(Options))
#: Options of which a row keeps a change for its runner, in the column `options`.
FOR_RUNNER = frozenset(
    f.name for f in fields(Options) if f.metadata[Stored] is Stored.FOR_RUNNER
)
#: Options that a call cannot change.
CODE = frozenset(f.name for f in fields(Options) if f.metadata[Stored] is Stored.CODE)


def in_seconds(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with their durations in seconds, as a row keeps them."""
    return {
        name: _DURATIONS[name](value) if name in _DURATIONS else value
        for name, value in options.items()
    }


def _as_backoff(value: Any) -> Any:
    return BackoffFunction.of(value) if callable(value) else _as_seconds(value)


def _as_seconds(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (list, tuple)):
        return tuple(map(_as_seconds, value))
    return value


#: The options that are kept in seconds, with what makes those of what was given.
_DURATIONS: dict[str, Callable[[Any], Any]] = {
    "timeout": _as_seconds,
    "backoff": _as_backoff,
    "delay": _as_seconds,
    "unique_for": _as_seconds,
    "debounce": _as_seconds,
    "result_ttl": lambda value: None if value is None else seconds(value),
}


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kept_for(value: object) -> bool:
    try:
        found = seconds(value)
    except ValueError:
        return False
    return found == inf or is_span(found)


def _is_length(value: object) -> bool:
    return value is None or (is_span(value) and value not in (0, timedelta()))


def _moment(value: object) -> bool:
    if isinstance(value, datetime):
        return value.tzinfo is not None and FIRST_MOMENT <= value <= LAST_MOMENT
    return isinstance(value, timedelta) and abs(value) <= LONGEST_SPAN


def _name(value: object, longest: int) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= longest
        and unstorable(value) is None
    )


def _rules(value: object) -> bool:
    return isinstance(value, Sequence) and all(
        issubclass(rule, BaseException) if isinstance(rule, type) else callable(rule)
        for rule in value
    )


def _names(value: object) -> bool:
    # A single text is a sequence of its letters.
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(name, str) and name for name in value)
    )


_MOMENT = (
    f"an aware datetime from {FIRST_MOMENT:%Y-%m-%d} to {LAST_MOMENT:%Y-%m-%d}, or a "
    f"timedelta of {LONGEST_SPAN.days} days at most"
)
_LENGTH = "a positive number of seconds, or a timedelta"
_SPAN = f"a number of seconds, or a timedelta, from 0 to {LONGEST_SPAN.days} days"
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "atomic": (lambda v: isinstance(v, bool), "True or False"),
    "queue": (
        lambda v: _name(v, LONGEST_QUEUE),
        f"a name of 1 to {LONGEST_QUEUE} characters that every database stores (no "
        "NUL, no half of a surrogate pair)",
    ),
    "priority": (lambda v: _whole(v) and -100 <= v <= 100, "a whole number, -100..100"),
    "run_after": (lambda v: v is None or _moment(v), _MOMENT),
    "delay": (lambda v: v is None or is_span(v), _SPAN),
    "expires": (lambda v: v is None or _moment(v), _MOMENT),
    "timeout": (_is_length, _LENGTH),
    "retries": (
        lambda v: _whole(v) and 0 <= v <= 32_000,
        "a whole number, 0..32000",
    ),
    "retry_on": (_rules, "a sequence of exception classes or predicates"),
    "backoff": (
        lambda v: v is None or callable(v) or is_span(v) or are_spans(v),
        "a number of seconds, a timedelta, a list of these, or a function of the "
        "attempt, or of the attempt and the error",
    ),
    "result_ttl": (
        lambda v: v is None or _kept_for(v),
        f"{WORDS}, or None",
    ),
    "unique": (
        lambda v: v is None or callable(v) or _name(v, LONGEST_KEY),
        f"a key of 1 to {LONGEST_KEY} characters that every database stores (no NUL, no "
        "half of a surrogate pair), or a function that makes one",
    ),
    "unique_for": (lambda v: v is None or is_span(v), _SPAN),
    "debounce": (_is_length, _LENGTH),
    "unique_for_failed": (lambda v: isinstance(v, bool), "True or False"),
    "on_lost": (
        lambda v: v in (None, ON_LOST_RETRY, ON_LOST_FAIL),
        f'"{ON_LOST_RETRY}" or "{ON_LOST_FAIL}"',
    ),
    "log_limit": (lambda v: v is None or (_whole(v) and v > 0), "a number of lines"),
    "context": (
        lambda v: (
            v is None
            or (isinstance(v, dict) and all(isinstance(name, str) for name in v))
        ),
        "a dict of values by the names of carriers",
    ),
    "tags": (
        lambda v: callable(v) or are_tags(v),
        f"{WANTED_TAGS}, or a function that makes one",
    ),
    "schedulable": (lambda v: isinstance(v, bool), "True or False"),
    "redact": (_names, 'a sequence of names, like ("card",)'),
}


def check_queue(queue: str) -> None:
    """Raise ValueError when ``CQ_QUEUES`` does not list `queue`."""
    allowed = conf.QUEUES
    if allowed is not None and queue not in allowed:
        raise ValueError(
            f"queue {queue!r} is not in CQ_QUEUES ({', '.join(sorted(allowed))}); "
            "add it there or use one of those"
        )
