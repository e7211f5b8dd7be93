"""The rules of options: the values that each may have, and which make sense beside others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from cq.durations import LONGEST_SPAN, WORDS, are_spans, is_span, seconds
from cq.text import brief, unstorable

from .keys import WANTED as WANTED_KEY
from .keys import is_key
from .limits import Limit
from .tags import WANTED as WANTED_TAGS
from .tags import are_tags

ON_LOST_RETRY = "retry"
ON_LOST_FAIL = "fail"
LONGEST_NAME = 200
LONGEST_QUEUE = 100
#: Limits of one task.
MOST_LIMITS = 10
#: What is nearer to the ends of the calendar has no date in some time zone.
FIRST_MOMENT = datetime.min.replace(year=1000, tzinfo=UTC)
LAST_MOMENT = datetime.max.replace(day=30, tzinfo=UTC)

#: Those that say more of another one. That may be taken away for one call, and these go
#: without saying.
_NEEDS = {
    "unique_for": "unique",
    "unique_for_failed": "unique_for",
    "debounce": "unique",
}


def check_together(changes: dict[str, Any], merged: Any) -> None:
    """Raise ValueError where an option is given that makes no sense beside the others.

    merged: the options, with the changes.
    """
    for name, needed in _NEEDS.items():
        if changes.get(name) and not getattr(merged, needed):
            raise ValueError(
                f"{name} is {brief(changes[name])}, but there is no {needed}; give it "
                f"{needed}=... as well"
            )
    if merged.debounce and merged.unique and (merged.delay or merged.run_after):
        raise ValueError(
            "debounce says when a call starts, so there can be no delay and no "
            "run_after beside it; give debounce=None, or these as None"
        )


def check_deadline(options: Any) -> None:
    """Raise TypeError for a deadline of what has none, or beside another end."""
    if options.deadline is None:
        return
    if not options.durable:
        raise TypeError(
            f"deadline is {brief(options.deadline)}, but the task is not durable; give it "
            "expires= for its start, or timeout= for its run, or make it "
            "@task(durable=True)"
        )
    if options.expires is not None:
        raise TypeError(
            "deadline and expires were given together, but what is not done by its "
            "deadline has not started in time either; leave out one, or give it as None"
        )


def check_durable(changes: dict[str, Any]) -> None:
    """Raise TypeError where options are given that a durable task cannot have."""
    if changes.get("atomic"):
        raise TypeError(
            "a durable task was given atomic=True, but each of its steps commits by "
            "itself; leave atomic out"
        )
    if changes.get("on_lost") == ON_LOST_FAIL:
        raise TypeError(
            f'a durable task was given on_lost="{ON_LOST_FAIL}", but goes on from its '
            "last step when a worker dies; leave on_lost out"
        )


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


def _makes_key(value: object) -> bool:
    return value is None or callable(value) or is_key(value)


def _limits(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) <= MOST_LIMITS
        and all(isinstance(limit, Limit) or is_key(limit) for limit in value)
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
_KEY = f"a key of {WANTED_KEY}, or a function that makes one"
_LENGTH = "a positive number of seconds, or a timedelta"
_SPAN = f"a number of seconds, or a timedelta, from 0 to {LONGEST_SPAN.days} days"
#: By option: what tells whether a value is one, and the values in words.
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
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
    "deadline": (_is_length, _LENGTH),
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
    "unique": (_makes_key, _KEY),
    "unique_for": (lambda v: v is None or is_span(v), _SPAN),
    "debounce": (_is_length, _LENGTH),
    "unique_for_failed": (lambda v: isinstance(v, bool), "True or False"),
    "limits": (
        _limits,
        f"a list of at most {MOST_LIMITS}, each a Limit or a name of CQ_LIMITS, like "
        '[Limit(concurrency=2), "stripe"]',
    ),
    "fair": (_makes_key, _KEY),
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
    "durable": (lambda v: isinstance(v, bool), "True or False"),
    "schedulable": (lambda v: isinstance(v, bool), "True or False"),
    "redact": (_names, 'a sequence of names, like ("card",)'),
}
