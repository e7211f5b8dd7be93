"""The ``CQ_`` settings: their defaults, types and limits, and what each means."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, cast

from .durations import seconds
from .status import FINAL
from .text import unstorable


class Setting(NamedTuple):
    """One setting: its default, the types it may have, and what it means."""

    default: Any
    types: tuple[type, ...]
    help: str
    minimum: float | None = None
    #: Says what else is wrong with a value of these types.
    problem: Callable[[Any], str | None] | None = None
    #: Whether text is the dotted path of a function.
    is_path: bool = False
    #: Whether no command shows it, and no check.
    is_secret: bool = False

    @property
    def is_seconds(self) -> bool:
        """Whether it is a length of time as a number, and nothing else."""
        return set(self.types) - {_NONE} == set(_NUMBER)


_NONE = type(None)
_NUMBER = (int, float)
_CALLABLE = cast("type", Callable)

#: Thirty years. No thread waits for ever by a number, and no date lies so far ahead.
LONGEST_SECONDS = 1e9
#: Characters of ``CQ_METRICS_TOKEN``.
SHORTEST_TOKEN = 16
#: Characters of ``CQ_RELEASE``.
LONGEST_RELEASE = 64
#: Turns of a fair key, where another has one.
LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100.0
#: Stands in ``CQ_RESULT_TTL`` for the outcomes that it does not name.
ANY_OUTCOME = "default"


def _names_problem(name: str, value: Any) -> str | None:
    for item in () if value is None else value:
        if not isinstance(item, str) or not item or unstorable(item):
            return f"CQ_{name} has {item!r}, but must have names, as text."
    return None


def _retention_problem(value: Any) -> str | None:
    for outcome, ttl in value.items() if isinstance(value, dict) else [(None, value)]:
        if outcome not in (None, ANY_OUTCOME, *FINAL):
            outcomes = ", ".join(sorted(FINAL))
            return (
                f"CQ_RESULT_TTL has {outcome!r}, but must have final statuses "
                f'({outcomes}) and "{ANY_OUTCOME}".'
            )
        try:
            seconds(0 if ttl is None else ttl)
        except ValueError as error:
            return f"CQ_RESULT_TTL: {error}, or None."
    return None


def _weights_problem(value: Any) -> str | None:
    for key, weight in value.items() if isinstance(value, dict) else ():
        if not isinstance(key, str):
            return f"CQ_FAIR_WEIGHTS has {key!r}, but must have keys, as text."
        if not is_weight(weight):
            return (
                f"CQ_FAIR_WEIGHTS has {weight!r} for {key!r}, but must have numbers, "
                f"{LEAST_WEIGHT:g} to {MOST_WEIGHT:g}."
            )
    return None


def is_weight(value: object) -> bool:
    """Tell whether a value can be the weight of a fair key."""
    return (
        isinstance(value, _NUMBER)
        and not isinstance(value, bool)
        and LEAST_WEIGHT <= value <= MOST_WEIGHT
    )


def _token_problem(value: Any) -> str | None:
    """Say what is wrong with ``CQ_METRICS_TOKEN``, without its value."""
    if value is True:
        return "CQ_METRICS_TOKEN is True, but must be a token, None or False."
    if isinstance(value, str) and (
        len(value) < SHORTEST_TOKEN or not re.fullmatch(r"[!-~]+", value)
    ):
        return (
            f"CQ_METRICS_TOKEN must have at least {SHORTEST_TOKEN} characters, all of "
            "them visible ASCII."
        )
    return None


def _release_problem(value: Any) -> str | None:
    if value is None:
        return None
    if value.strip() and len(value) <= LONGEST_RELEASE and not unstorable(value):
        return None
    return (
        f"CQ_RELEASE is {value!r}, but must be None or a text of 1 to {LONGEST_RELEASE} "
        "characters that every database stores."
    )


SETTINGS: dict[str, Setting] = {
    "DATABASE": Setting("default", (str,), "Alias of the database with the tasks."),
    "SERIAL": Setting(
        False, (bool,), "Run `.delay()` in line, for tests and shells. Rows are made."
    ),
    "RUN_INLINE": Setting(
        None,
        (bool, _NONE),
        "Run tasks after commit in the process that made them. None: when "
        "cq_channels is not installed. False: only record them.",
    ),
    "QUEUES": Setting(
        None,
        (list, tuple, set, _NONE),
        "The queues allowed. None: any name.",
        problem=partial(_names_problem, "QUEUES"),
    ),
    "LIMITS": Setting(
        {},
        (dict,),
        "The limits that tasks name: a dict of `rate`, `burst`, `concurrency` and `key` "
        "by name, each of these as in `Limit`.",
    ),
    "FAIR_WEIGHTS": Setting(
        None,
        (dict, str, _CALLABLE, _NONE),
        f"The weights of fair keys, {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}, as a dict; or a "
        "function of the key, or its dotted path. A key of weight 3 has three turns where "
        "another has one. None, and for a key that it lacks: 1.",
        problem=_weights_problem,
        is_path=True,
    ),
    "TASK_MODULES": Setting(
        (),
        (list, tuple),
        "Dotted names of modules with tasks, imported by every process beside the "
        "`tasks.py` of each app.",
    ),
    "MIDDLEWARE": Setting(
        (),
        (list, tuple),
        "Dotted names of functions `(call_next, run)` around each run, the first "
        "outermost.",
    ),
    "CONTEXT": Setting(
        (),
        (list, tuple),
        "Dotted names of carriers, which take something from where a task is called to "
        "its run.",
    ),
    "RESULT_TTL": Setting(
        {"COMPLETE": "7d", ANY_OUTCOME: "30d"},
        (*_NUMBER, timedelta, str, dict, _NONE),
        'How long a finished tree is kept: seconds, a timedelta, or "7d", "12h", "30m", '
        '"45s"; or a dict of these by the status of its root, "default" for the others. '
        "None: for ever.",
        0,
        _retention_problem,
    ),
    "LOG_LIMIT": Setting(
        10_000, (int,), "Lines kept in the log of a top-level task.", 101
    ),
    "HEARTBEAT": Setting(2.0, _NUMBER, "Seconds between two heartbeats.", 0.05),
    "LEASE": Setting(
        15.0, _NUMBER, "Seconds without a heartbeat until a worker is dead.", 0.1
    ),
    "POLL": Setting(1.0, _NUMBER, "Seconds between two looks at the table.", 0.01),
    "SWEEP": Setting(5.0, _NUMBER, "Seconds between two sweeps.", 0.05),
    "DRAIN": Setting(25.0, _NUMBER, "Seconds a stopping worker gives to what runs.", 0),
    "MAX_LOSSES": Setting(
        3, (int,), "Workers that may die under a task until it is LOST.", 1
    ),
    "UNKNOWN_GRACE": Setting(
        600.0,
        _NUMBER,
        "Seconds in which a task is tried again whose name no worker knows, or whose "
        "arguments do not fit its code.",
        0,
    ),
    "RELEASE": Setting(
        None,
        (str, _NONE),
        "The release of this code, such as a version or a commit: tasks and workers keep "
        "it, and for CQ_UNKNOWN_GRACE a worker leaves what a newer one has recorded to "
        "workers of that. None: nothing is kept.",
        problem=_release_problem,
    ),
    "MAX_TREE_DEPTH": Setting(100, (int,), "Levels of subtasks under each other.", 1),
    "SIZE_LIMIT": Setting(
        1024 * 1024, (int,), "Bytes of a task's own arguments, or its result.", 1024
    ),
    "DEPTH_LIMIT": Setting(64, (int,), "Levels of nesting in a stored value.", 1),
    "UNIQUE_WAIT": Setting(
        5.0, _NUMBER, "Seconds to wait for a transaction that holds a unique key.", 0
    ),
    "CHANNEL_LAYER": Setting("default", (str,), "Alias of the channel layer to ring."),
    "EMBEDDED": Setting(
        "dev",
        (bool, str, _NONE),
        'Whether a worker runs beside the server. "dev": beside `runserver`, with DEBUG. '
        "True: also beside a server whose application is wrapped in `with_worker`. False: "
        "never.",
        problem=lambda value: (
            f'CQ_EMBEDDED is {value!r}, but must be "dev", True or False.'
            if value not in ("dev", True, False, None)
            else None
        ),
    ),
    "SCHEDULER": Setting(True, (bool,), "Whether workers run the scheduler."),
    "ADMIN_AUTOREGISTER": Setting(
        True, (bool,), "Whether cq_admin adds its pages to the default admin site."
    ),
    "ADMIN_TIMEOUT": Setting(
        10.0,
        (int, float, _NONE),
        "Seconds that one query of an admin page may take, on PostgreSQL. None: any.",
        0.1,
    ),
    "LIVE_SOCKETS": Setting(20, (int,), "Sockets of one user in one process.", 1),
    "SCHEDULABLE": Setting(
        None,
        (list, tuple, set, str, _NONE),
        "The tasks that people may schedule: names, or the dotted path of a function "
        "`(name, user)` that tells. None: all but those with `schedulable=False`.",
        problem=partial(_names_problem, "SCHEDULABLE"),
        is_path=True,
    ),
    "REDACT": Setting(
        None,
        (list, tuple, set, str, _NONE),
        "More names of arguments and keys whose values are hidden; or the dotted path "
        "of a function `(task_name, path, value)` that returns what is shown.",
        problem=partial(_names_problem, "REDACT"),
        is_path=True,
    ),
    "REDACT_TEXT": Setting(
        None,
        (str, _NONE),
        "The dotted path of a function `(task_name, text)` that returns what is shown "
        "of an error, a traceback, a stack or a log line. None: the text.",
        is_path=True,
    ),
    "FIGURES": Setting(
        True,
        (bool,),
        "Whether processes that run tasks count the runs that end, and a worker the "
        "queues, for the charts.",
    ),
    "QUEUE_AGE": Setting(
        60.0, _NUMBER, "Seconds that a task may be ready until the overview says so.", 0
    ),
    "METRICS_TOKEN": Setting(
        None,
        (str, bool, _NONE),
        "What Prometheus has to send as a bearer token to see "
        "`cq.contrib.prometheus.metrics`. None: nobody sees it. False: your own code "
        "or network decides.",
        problem=_token_problem,
        is_secret=True,
    ),
}
