"""Celery on Redis, results there too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery, chord

from peers import work
from peers.catalogue import mode
from peers.system import Command, System, script, valkey

if TYPE_CHECKING:
    from collections.abc import Iterable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "peers.settings")

app = Celery("bench", broker=valkey(0), backend=valkey(1), set_as_current=True)
app.conf.update(
    worker_prefetch_multiplier=50,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
# Read under this very name. Without it each task opens a connection of its own.
app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000_000
if mode() == "killed":
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={"visibility_timeout": 30},
    )


def noop(number: int) -> int:
    return work.noop(number)


def write(number: int) -> int:
    return work.write(number)


def slow(number: int) -> int:
    return work.slow(number)


def stamp(number: int) -> int:
    return work.stamp(number)


TASKS = {f.__name__: app.task(f, name=f.__name__) for f in (noop, write, slow, stamp)}


class CeleryRedis(System):
    fans_out = True
    module = "peers.systems.celery_redis"

    def enqueue(self, name: str, number: int) -> Any:
        return TASKS[name].delay(number)

    def enqueue_many(self, name: str, numbers: Iterable[int]) -> None:
        # One connection for all of them; it has nothing else for many.
        with app.producer_pool.acquire(block=True) as producer:
            for number in numbers:
                TASKS[name].apply_async((number,), producer=producer)

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        return [
            script(
                "celery",
                *("-A", self.module, "worker", "-P", "prefork", "-l", "WARNING"),
                *("-c", str(processes * (threads or 1))),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            )
        ]

    def finished(self) -> int:
        with redis.Redis.from_url(valkey(1)) as client:
            return int(client.dbsize())

    def result(self, handle: Any) -> None:
        handle.get(timeout=60)

    def fan_out(self, children: int) -> None:
        chord(TASKS["noop"].s(number) for number in range(children))(
            TASKS["stamp"].si(children)
        )


SYSTEM = CeleryRedis()
