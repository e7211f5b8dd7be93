"""Faults of clocks and disks, and a task that kills whoever runs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from servers import fill, free

from .base import Fault, World

if TYPE_CHECKING:
    from random import Random

#: Seconds: ten minutes.
STEP = 600


class ClockFault(Fault):
    """One worker's clock is moved while it runs, and later set right again."""

    step: int

    @classmethod
    def impossible(cls, world: World) -> str | None:
        if world.postgres is None:
            return "SQLite has no clock but that of its one host"
        return None if world.clocks else "libfaketime is not here, or has no effect"

    def lasts(self, random: Random) -> float:
        return round(random.uniform(10.0, 30.0), 1)

    def begin(self, world: World) -> str:
        names = sorted(world.clocks)
        name = names[self.number % len(names)]
        self._clock = world.clocks[name]
        self._clock.move(self.step)
        return f"{name} by {self.step:+d} s"

    def end(self, world: World) -> None:
        self._clock.move(0)


class ClockForward(ClockFault):
    name = "clock moved forward"
    step = STEP


class ClockBack(ClockFault):
    name = "clock moved back"
    step = -STEP


class DiskFull(Fault):
    """No block is free under the tables."""

    name = "disk full"
    blocks = True

    @classmethod
    def impossible(cls, world: World) -> str | None:
        if world.postgres is None:
            return "no PostgreSQL in this run"
        if world.postgres.disk is None:
            return "this process may not mount a small disk"
        return None

    def lasts(self, random: Random) -> float:
        return round(random.uniform(2.0, 5.0), 1)

    def begin(self, world: World) -> str:
        assert world.postgres is not None
        assert world.postgres.disk is not None
        world.recoveries.disturb()
        fill(world.postgres.disk)
        try:
            # Here, so that no other fault makes the server recover without a disk.
            time.sleep(self.seconds)
        finally:
            free(world.postgres.disk)
        world.recoveries.disturb()
        return "has room again"


class Poison(Fault):
    """A task that kills its process each time; after three it must be LOST."""

    name = "poison task"

    def begin(self, world: World) -> str:
        from django.db import DatabaseError, InterfaceError, connection
        from work.tasks import poison

        from .base import Skipped

        connection.close()  # the last one may not have survived
        try:
            return f"task {poison.delay().pk}"
        except (DatabaseError, InterfaceError) as error:
            raise Skipped(str(error).splitlines()[0]) from error
        finally:
            connection.close()
