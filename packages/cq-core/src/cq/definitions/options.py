"""The options of ``@task`` and ``.using()``, checked where they are given."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from cq.conf import conf
from cq.durations import LONGEST_SPAN as LONGEST_SPAN
from cq.durations import seconds
from cq.text import brief

from .backoff import BackoffFunction
from .keys import LONGEST_KEY as LONGEST_KEY
from .limits import Limit, as_given_to_task
from .option_rules import FIRST_MOMENT as FIRST_MOMENT
from .option_rules import LAST_MOMENT as LAST_MOMENT
from .option_rules import LONGEST_NAME as LONGEST_NAME
from .option_rules import LONGEST_QUEUE as LONGEST_QUEUE
from .option_rules import ON_LOST_FAIL as ON_LOST_FAIL
from .option_rules import ON_LOST_RETRY as ON_LOST_RETRY
from .option_rules import RULES, check_deadline, check_durable, check_together
from .templates import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .backoff import Backoff, RetryOn


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
    #: There too, and what they come to in the column `lane`: who claims looks at both.
    LANE = "lane"
    #: Nowhere: it is code, and stands at ``@task`` alone.
    CODE = "code"


_COLUMN = {Stored: Stored.COLUMN}
_FOR_RUNNER = {Stored: Stored.FOR_RUNNER}
_CONTEXT = {Stored: Stored.CONTEXT}
_TAGS = {Stored: Stored.TAGS}
_LANE = {Stored: Stored.LANE}
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
    deadline: of a durable task: seconds, or a timedelta, from when it is submitted to when all of it is to be done (else EXPIRED).
    retries: how often a failed run is tried again.
    retry_on: exception classes, or predicates of the exception.
    backoff: seconds or a timedelta before a retry, a list of these, one for each attempt, of which the last repeats, or a function of the attempt, or of the attempt and the error; None: exponential.
    result_ttl: seconds, a timedelta, or text such as "7d" that a finished row is kept, or "forever"; None: as ``CQ_RESULT_TTL`` says.
    unique: a key of up to 200 characters, at ``@task`` a format string over the arguments by name, or a function of the call's arguments that makes one.
    unique_for: seconds, or a timedelta, that the key is remembered once the task has succeeded: a call within them returns that task.
    unique_for_failed: True: once it has settled, whatever its outcome.
    debounce: seconds, or a timedelta, for which a call waits: a further one replaces its arguments, and they begin anew.
    limits: what may run at once, and how much may start in a while: each a ``Limit``, or a name of ``CQ_LIMITS``.
    fair: a key, as for `unique`; tasks of different keys in one queue take turns.
    on_lost: "retry" or "fail"; None: "retry" when atomic, "fail" when not.
    log_limit: lines kept in the log; None: ``CQ_LOG_LIMIT``.
    context: values by the names of carriers, in place of those that ``CQ_CONTEXT`` captures.
    tags: up to 10 texts that it is found by, or a function of the call's arguments that makes them; its subtasks have them, too.
    durable: True: its steps are kept, and its function is called again from its beginning where it went on from one; `atomic=False` and `on_lost="retry"` with that.
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
    deadline: float | None = field(default=None, metadata=_FOR_RUNNER)
    retries: int = field(default=0, metadata=_FOR_RUNNER)
    retry_on: RetryOn = field(default=(Exception,), metadata=_CODE)
    backoff: Backoff | None = field(default=None, metadata=_FOR_RUNNER)
    result_ttl: float | None = field(default=None, metadata=_COLUMN)
    unique: str | Callable[..., str] | None = field(default=None, metadata=_COLUMN)
    unique_for: float | None = field(default=None, metadata=_COLUMN)
    unique_for_failed: bool = field(default=False, metadata=_COLUMN)
    debounce: float | None = field(default=None, metadata=_COLUMN)
    limits: Sequence[Limit | str] = field(default=(), metadata=_LANE)
    fair: str | Callable[..., str | None] | None = field(default=None, metadata=_LANE)
    on_lost: str | None = field(default=None, metadata=_COLUMN)
    log_limit: int | None = field(default=None, metadata=_FOR_RUNNER)
    context: dict[str, Any] | None = field(default=None, metadata=_CONTEXT)
    tags: Sequence[str] | Callable[..., Sequence[str] | None] = field(
        default=(), metadata=_TAGS
    )
    durable: bool = field(default=False, metadata=_CODE)
    schedulable: bool = field(default=True, metadata=_CODE)
    redact: Sequence[str] = field(default=(), metadata=_CODE)

    def __post_init__(self) -> None:
        for name, (valid, wanted) in RULES.items():
            value = getattr(self, name)
            if not valid(value):
                raise ValueError(f"{name} is {brief(value)}, but must be {wanted}")
        for name, as_kept in _AS_KEPT.items():
            object.__setattr__(self, name, as_kept(getattr(self, name)))
        check_deadline(self)
        if self.durable:
            object.__setattr__(self, "atomic", False)
            object.__setattr__(self, "on_lost", ON_LOST_RETRY)

    @property
    def reruns_when_lost(self) -> bool:
        """Whether a run whose worker died is run again by itself."""
        return (self.on_lost or (ON_LOST_RETRY if self.atomic else ON_LOST_FAIL)) == (
            ON_LOST_RETRY
        )

    def merged(self, changes: dict[str, Any]) -> Options:
        """Return these options with `changes`.

        Raises TypeError for an option that does not exist, or that no durable task
        has, ValueError for a value that it may not have.
        """
        unknown = sorted(set(changes) - NAMES)
        if unknown:
            raise TypeError(
                f"there is no option {unknown[0]!r}; there are {', '.join(sorted(NAMES))}"
            )
        merged = replace(self, **changes)
        if merged.durable:
            check_durable(changes)
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
        name: _AS_KEPT[name](value) if name in _AS_KEPT else value
        for name, value in options.items()
    }


def with_templates(options: Options) -> Options:
    """Return the options of ``@task``, whose texts for keys are templates.

    Raises ValueError for what is no format string.
    """
    changes: dict[str, Any] = {}
    for name in ("unique", "fair"):
        if isinstance(text := getattr(options, name), str):
            changes[name] = Template(name, text)
    if options.limits:
        changes["limits"] = as_given_to_task(options.limits)
    return replace(options, **changes) if changes else options


def _as_backoff(value: Any) -> Any:
    return BackoffFunction.of(value) if callable(value) else _as_seconds(value)


def _as_seconds(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (list, tuple)):
        return tuple(map(_as_seconds, value))
    return value


#: The options that are kept as something else than they are given as: those that are
#: durations in seconds, for one.
_AS_KEPT: dict[str, Callable[[Any], Any]] = {
    "timeout": _as_seconds,
    "deadline": _as_seconds,
    "backoff": _as_backoff,
    "delay": _as_seconds,
    "unique_for": _as_seconds,
    "debounce": _as_seconds,
    "result_ttl": lambda value: None if value is None else seconds(value),
    "limits": tuple,
}


def check_queue(queue: str) -> None:
    """Raise ValueError when ``CQ_QUEUES`` does not list `queue`."""
    allowed = conf.QUEUES
    if allowed is not None and queue not in allowed:
        raise ValueError(
            f"queue {queue!r} is not in CQ_QUEUES ({', '.join(sorted(allowed))}); "
            "add it there or use one of those"
        )
