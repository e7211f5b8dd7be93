"""The weights of fair keys: how many turns one has where another has one."""

from __future__ import annotations

import logging
from typing import Any

from cq.conf import conf, function
from cq.settings import is_weight

logger = logging.getLogger("cq.fairness")

#: Of a key that ``CQ_FAIR_WEIGHTS`` does not name.
DEFAULT_WEIGHT = 1.0


def weight_of(key: str) -> float:
    """Return the weight of a fair key, by ``CQ_FAIR_WEIGHTS``.

    It never raises: a key whose weight is none, or for which the function raises, has 1.
    """
    try:
        weight = _weight(conf.FAIR_WEIGHTS, key)
    except Exception as error:
        # A claim asks, and whoever it is for is waiting.
        logger.warning(
            "CQ_FAIR_WEIGHTS has raised %s for a key, which has the weight 1",
            type(error).__name__,
        )
        return DEFAULT_WEIGHT
    return float(weight) if is_weight(weight) else DEFAULT_WEIGHT


def _weight(setting: Any, key: str) -> Any:
    if isinstance(setting, dict):
        return setting.get(key, DEFAULT_WEIGHT)
    make = setting if callable(setting) else function("FAIR_WEIGHTS")
    return DEFAULT_WEIGHT if make is None else make(key)
