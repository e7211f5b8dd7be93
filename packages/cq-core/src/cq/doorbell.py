"""Says that there is work; to whom, is decided by what is installed.

A ring carries no responsibility: losing one costs the latency of a look at the table,
never a task. cq-channels registers its sender here; with cq-core alone the bell is the
local runner, which runs the tasks on this thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

#: Ids with the queue of each.
Ready = Sequence[tuple[UUID, str]]


class Doorbell(Protocol):
    """What wants to know of tasks that were queued. May drop, never raise or block."""

    def ring(self, using: str, ready: Ready) -> None: ...


_bells: list[Doorbell] = []


def register(bell: Doorbell) -> None:
    """Ring `bell` from now on; twice is once."""
    if bell not in _bells:
        _bells.append(bell)


def unregister(bell: Doorbell) -> None:
    """Stop ringing `bell`."""
    if bell in _bells:
        _bells.remove(bell)


def ring(using: str, ready: Ready) -> None:
    """Tell every bell that these tasks, committed by now, are QUEUED."""
    if ready:
        for bell in list(_bells):
            bell.ring(using, ready)
