"""The retention of what is finished: of trees, by the outcome of their root, and of keys."""

from __future__ import annotations

from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any

from cq.conf import ANY_OUTCOME, SETTINGS, conf
from cq.durations import seconds
from cq.status import FINAL, Status

if TYPE_CHECKING:
    from datetime import datetime

    from .options import Options

#: What a row says that is kept for ever: not every database stores infinity. A row that
#: says nothing goes by the setting, as it is when pruning looks at it.
KEPT_FOREVER = -1.0


def stored_ttl(result_ttl: float | None) -> float | None:
    """Return what a row keeps of the option `result_ttl`."""
    return KEPT_FOREVER if result_ttl == inf else result_ttl


def setting_by_status() -> dict[Status, float]:
    """Return how many seconds ``CQ_RESULT_TTL`` keeps a tree, by its root's status.

    Infinity is for ever. An outcome that a dict does not name, also not by "default",
    has its own.
    """
    given = conf.RESULT_TTL
    ttls: dict[Any, Any] = given if isinstance(given, dict) else {ANY_OUTCOME: given}
    if ANY_OUTCOME not in ttls:
        ttls = {**SETTINGS["RESULT_TTL"].default, **ttls}
    found = {status: ttls.get(status, ttls[ANY_OUTCOME]) for status in sorted(FINAL)}
    return {s: inf if ttl is None else seconds(ttl) for s, ttl in found.items()}


def stored_memory(options: Options) -> float | None:
    """Return the seconds that a key is remembered; negative: whatever the outcome."""
    span = options.unique_for or None
    return -span if span and options.unique_for_failed else span


def memory(stored: float) -> tuple[timedelta, frozenset[Status]]:
    """Return how long a key is remembered, and with which outcomes of its task."""
    outcomes = FINAL if stored < 0 else frozenset({Status.COMPLETE})
    return timedelta(seconds=abs(stored)), outcomes


def is_remembered(
    finished: datetime, status: str, stored: float, now: datetime
) -> bool:
    """Tell whether the key of a settled task is remembered, and so its row is kept."""
    span, outcomes = memory(stored)
    return status in outcomes and finished + span > now
