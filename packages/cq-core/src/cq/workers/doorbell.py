"""The doorbell: it says that there is work; to whom, is decided by what is installed.

A ring carries no responsibility: losing one costs the latency of a look at the table,
never a task. cq-channels registers its sender here; with cq-core alone the bell is the
local runner, which runs the tasks on this thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable
from uuid import UUID

#: Ids with the queue of each.
Ready = Sequence[tuple[UUID, str]]
#: In the place of a task's id: there are lanes open, see :mod:`cq.limits`. No task has it.
LANES = UUID(int=1)


class Doorbell(Protocol):
    """A listener to tasks that were queued. It may drop, but never raise or block."""

    def ring(self, using: str, ready: Ready) -> None: ...


@runtime_checkable
class Alarm(Protocol):
    """A doorbell that looks at the table at a moment it is told, too."""

    def due_in(self, using: str, seconds: float) -> None: ...


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


def due_in(using: str, seconds: float) -> None:
    """Tell the bells of this process that a task is due in so many seconds."""
    for bell in list(_bells):
        if isinstance(bell, Alarm):
            bell.due_in(using, seconds)
