"""What faults act on, and what they have in common."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from random import Random

    from clocks import Clock
    from fleet import Fleet, Group
    from recovery import Recoveries
    from servers import Postgres, Valkey


class Skipped(Exception):
    """It had nothing to act on just then; says why."""


@dataclass
class World:
    """All that a fault may touch."""

    fleet: Fleet
    recoveries: Recoveries
    lease: float
    postgres: Postgres | None = None
    valkey: Valkey | None = None
    #: By name of the worker.
    clocks: dict[str, Clock] = field(default_factory=dict)
    #: What faults count beside themselves: COMMITs cut, backends terminated.
    counts: Counter[str] = field(default_factory=Counter)

    def worker(self, number: int) -> Group:
        """Return one that runs now; raises Skipped."""
        alive = [
            worker
            for worker in self.fleet.workers()
            if worker.popen.poll() is None and worker.ready() and not worker.frozen
        ]
        if not alive:
            raise Skipped("no worker was up")
        return alive[number % len(alive)]


class Fault:
    """One fault: what it does is drawn when the plan is made, never later."""

    name: ClassVar[str]
    weight: ClassVar[int] = 1
    #: Whether `begin` lasts as long as the fault; there is no `end` then.
    blocks: ClassVar[bool] = False

    def __init__(self, random: Random) -> None:
        self.number = random.randrange(1000)
        self.seconds = self.lasts(random)

    @classmethod
    def impossible(cls, world: World) -> str | None:
        """Say why this kind cannot be done here, if so."""
        return None

    def lasts(self, random: Random) -> float:
        """Draw the seconds from `begin` to `end`."""
        return 0.0

    def begin(self, world: World) -> str:
        """Do it; say to whom. Raises Skipped."""
        raise NotImplementedError

    def end(self, world: World) -> None:
        """Put it right again."""

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.name} #{self.number}{lasting}"
