"""Who goes first where tasks from lanes and others want the same slots."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cq_channels.slots.claim_ahead import SHORT_RUN_SECONDS, ClaimAhead


def test_both_have_every_second_slot_however_often_it_looks_meanwhile() -> None:
    threads: Any = SimpleNamespace(
        count=1, free=1, waiting=0, waiting_first=0, duration=2 * SHORT_RUN_SECONDS
    )
    ahead = ClaimAhead(threads)
    turns = []
    for looks in (0, 1, 2, 3, 4, 1, 1, 1):
        threads.free = 0
        # While it is busy: a coroutine may be wanted.
        for _ in range(looks):
            assert ahead.for_lanes(alone=False) == 0
        threads.free = 1
        turns.append(ahead.for_lanes(alone=False))
    assert turns == [1, 0] * 4
