"""Faults of the database server."""

from __future__ import annotations

import os
import signal
import time
from random import Random

from .base import Fault, Skipped, World


class PostgresFault(Fault):
    """Whatever is on its way, recoveries too, is held up by it."""

    @classmethod
    def impossible(cls, world: World) -> str | None:
        return None if world.postgres else "no PostgreSQL in this run"


class PostgresRestart(PostgresFault):
    """Stopped fast, the clients cut off, and started again."""

    name = "PostgreSQL restarted fast"
    weight = 2
    mode = "fast"

    def begin(self, world: World) -> str:
        assert world.postgres is not None
        world.recoveries.disturb()
        world.postgres.restart(self.mode)
        world.recoveries.disturb()
        return "is up again"


class PostgresCrash(PostgresRestart):
    """Stopped without a checkpoint; it recovers from its log."""

    name = "PostgreSQL restarted immediate"
    mode = "immediate"


class BackendKilled(PostgresFault):
    """SIGKILL to one server process: all others crash with it."""

    name = "PostgreSQL backend killed"

    def begin(self, world: World) -> str:
        assert world.postgres is not None
        backends = world.postgres.backends()
        if not backends:
            raise Skipped("no backend was there")
        world.recoveries.disturb()
        os.kill(backends[self.number % len(backends)], signal.SIGKILL)
        time.sleep(0.2)
        world.postgres.wait()
        world.recoveries.disturb()
        return "the server has recovered"


class BackendsTerminated(PostgresFault):
    """Some sessions are ended wherever they are, some of them twice."""

    name = "backends terminated"
    weight = 3

    def begin(self, world: World) -> str:
        assert world.postgres is not None
        world.recoveries.disturb()
        random = Random(self.number)
        count = 0
        for _ in range(4):
            for pid in world.postgres.backends():
                if random.random() < 0.4:
                    world.postgres.execute("SELECT pg_terminate_backend(%s)", pid)
                    count += 1
            time.sleep(random.uniform(0, 0.3))
        world.counts["sessions terminated"] += count
        return f"{count} sessions"


class CommitsCut(PostgresFault):
    """Sessions are ended in the middle of a COMMIT, so that its answer is lost.

    For some seconds each COMMIT waits for a standby that does not exist: it is durable
    by then. A session that is ended there never tells its client so.
    """

    name = "COMMITs cut"
    weight = 3
    blocks = True

    def lasts(self, random: Random) -> float:
        return round(random.uniform(1.0, 3.0), 1)

    def begin(self, world: World) -> str:
        import psycopg

        assert world.postgres is not None
        world.recoveries.disturb()
        self._wait_for(world, "nobody")
        cut = 0
        try:
            until = time.monotonic() + self.seconds
            # One connection for all looks: a new one would come too late.
            with psycopg.connect(world.postgres.uri, autocommit=True) as connection:
                while time.monotonic() < until:
                    cut += len(connection.execute(_CUT).fetchall())
                    time.sleep(0.05)
        finally:
            self._wait_for(world, "")
        world.counts["COMMITs whose answer was lost"] += cut
        return f"{cut} answers lost"

    @staticmethod
    def _wait_for(world: World, standby: str) -> None:
        assert world.postgres is not None
        world.postgres.execute(
            f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'"
        )
        world.postgres.execute("SELECT pg_reload_conf()")


# A few at a time: the others go on when the wait is over.
_CUT = """
SELECT pg_terminate_backend(pid) FROM (
    SELECT pid FROM pg_stat_activity
    WHERE datname = 'chaos' AND wait_event = 'SyncRep' ORDER BY random() LIMIT 3
) AS chosen
"""
