"""Dramatiq on Redis."""

from __future__ import annotations

from typing import Any

import django
import dramatiq
import redis
from django.apps import apps
from dramatiq import group
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend as Barriers
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from peers import work
from peers.system import Command, System, script, valkey

if not apps.ready:
    django.setup()

broker = RedisBroker(url=valkey(0))
broker.add_middleware(Results(backend=RedisBackend(url=valkey(1)), store_results=True))
broker.add_middleware(GroupCallbacks(Barriers(url=valkey(2))))
dramatiq.set_broker(broker)

TASKS: dict[str, Any] = {
    name: dramatiq.actor(function, actor_name=name)
    for name, function in work.WORK.items()
}


class Dramatiq(System):
    fans_out = True

    def enqueue(self, name: str, number: int) -> Any:
        return TASKS[name].send(number)

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        counts = "-p", str(processes), "-t", str(threads or 4)
        return [script("dramatiq", "peers.systems.dramatiq", *counts)]

    def finished(self) -> int:
        with redis.Redis.from_url(valkey(1)) as client:
            return int(client.dbsize())

    def result(self, handle: Any) -> None:
        handle.get_result(block=True, timeout=60_000)

    def fan_out(self, children: int) -> None:
        members = group(TASKS["noop"].message(number) for number in range(children))
        members.add_completion_callback(TASKS["stamp"].message(children))
        members.run()


SYSTEM = Dramatiq()
