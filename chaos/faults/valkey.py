"""Faults of the channel layer: they may cost time, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Fault, World

if TYPE_CHECKING:
    from random import Random


class ValkeyFault(Fault):
    @classmethod
    def impossible(cls, world: World) -> str | None:
        return None if world.valkey else "no Valkey in this run"

    def lasts(self, random: Random) -> float:
        return round(random.uniform(2.0, 8.0), 1)


class ValkeyKilled(ValkeyFault):
    """SIGKILL; it comes back empty."""

    name = "Valkey killed"
    weight = 2

    def begin(self, world: World) -> str:
        assert world.valkey is not None
        world.valkey.kill()
        return "all messages are gone"

    def end(self, world: World) -> None:
        assert world.valkey is not None
        world.valkey.start()


class ValkeyFlushed(ValkeyFault):
    name = "Valkey flushed"

    def lasts(self, random: Random) -> float:
        return 0.0

    def begin(self, world: World) -> str:
        import redis

        assert world.valkey is not None
        try:
            with world.valkey.client() as client:
                keys = client.dbsize()
                client.flushall()
        except redis.RedisError as error:
            return f"did not answer: {error}"
        return f"{keys} keys"


class ValkeyPaused(ValkeyFault):
    """It takes commands, and answers none: CLIENT PAUSE."""

    name = "Valkey paused"

    def begin(self, world: World) -> str:
        import redis

        assert world.valkey is not None
        try:
            with world.valkey.client() as client:
                client.client_pause(int(self.seconds * 1000))
        except redis.RedisError as error:
            return f"did not answer: {error}"
        return f"for {self.seconds} s"


class ValkeyFrozen(ValkeyFault):
    """SIGSTOP: the connections stand, and nothing comes."""

    name = "Valkey frozen"

    def begin(self, world: World) -> str:
        assert world.valkey is not None
        world.valkey.freeze()
        return f"for {self.seconds} s"

    def end(self, world: World) -> None:
        assert world.valkey is not None
        world.valkey.thaw()
