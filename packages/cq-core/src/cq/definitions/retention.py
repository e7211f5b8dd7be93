"""The retention of finished trees, by the outcome of their root."""

from __future__ import annotations

from math import inf
from typing import Any

from cq.conf import ANY_OUTCOME, SETTINGS, conf
from cq.durations import seconds
from cq.status import FINAL, Status

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
