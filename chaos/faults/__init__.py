"""Every kind of fault, and the seeded plan of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Fault, Skipped, World
from .machine import ClockBack, ClockForward, DiskFull, Poison
from .postgres import (
    BackendKilled,
    BackendsTerminated,
    CommitsCut,
    PostgresCrash,
    PostgresRestart,
)
from .processes import (
    ChildKilled,
    ProducerKilled,
    SupervisorKilled,
    WorkerFrozen,
    WorkerKilled,
    WorkerTerminated,
)
from .valkey import ValkeyFlushed, ValkeyFrozen, ValkeyKilled, ValkeyPaused

if TYPE_CHECKING:
    from random import Random

__all__ = ["KINDS", "Fault", "Skipped", "World", "plan"]

KINDS: list[type[Fault]] = [
    WorkerKilled,
    SupervisorKilled,
    ChildKilled,
    WorkerFrozen,
    WorkerTerminated,
    ProducerKilled,
    PostgresRestart,
    PostgresCrash,
    BackendKilled,
    BackendsTerminated,
    CommitsCut,
    DiskFull,
    ValkeyKilled,
    ValkeyFlushed,
    ValkeyPaused,
    ValkeyFrozen,
    ClockForward,
    ClockBack,
    Poison,
]


def plan(
    kinds: list[type[Fault]], random: Random, seconds: float, every: float
) -> list[tuple[float, Fault]]:
    """Return (second, fault): first one of each kind, then by weight.

    A run too short for one of each has those that come first in a random order.
    """
    first = random.sample(kinds, len(kinds))
    planned: list[tuple[float, Fault]] = []
    at = every
    while at < seconds:
        kind = (
            first.pop()
            if first
            else random.choices(kinds, [kind.weight for kind in kinds])[0]
        )
        planned.append((round(at, 1), kind(random)))
        at += random.uniform(0.5, 1.5) * every
    return planned
