"""The bound on members of one hash, which make a set or a dict quadratic.

The hash of a number is no secret: multiples of 2**61 - 1 have the same. 45,000 of them
fit into a MiB, and a set of those takes minutes to build, with the GIL held. Only whole
hashes count: where some bits differ, the probing soon does.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

#: Pairs of members that are compared at most, and as many for each member. Points with
#: -1 and -2 among their coordinates share hashes too, some pairs for each of them.
MAX_PAIRS = 100_000
MAX_PAIRS_PER_MEMBER = 10
#: Fewer members make no more pairs than that.
_FEW = 400


def refuse_collisions(members: Collection[Any]) -> None:
    """Raise ValueError when too many members have the same hash."""
    if len(members) <= _FEW:
        return
    alike = Counter(map(hash, members))
    pairs = sum(count * (count - 1) // 2 for count in alike.values())
    if pairs > MAX_PAIRS + MAX_PAIRS_PER_MEMBER * len(members):
        raise ValueError(
            f"{len(members)} members make {pairs} pairs of the same hash, which take too "
            "long to tell apart; pass a list"
        )
