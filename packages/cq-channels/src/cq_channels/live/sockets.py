"""The number of sockets that each user has open in this process."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cq.conf import conf

if TYPE_CHECKING:
    from collections.abc import Hashable

_open: Counter[Hashable] = Counter()


def take(who: Hashable) -> bool:
    """Count one more; False where they have as many as they may."""
    if _open[who] >= conf.LIVE_SOCKETS:
        return False
    _open[who] += 1
    return True


def give_back(who: Hashable) -> None:
    _open[who] -= 1
    if _open[who] <= 0:
        del _open[who]
