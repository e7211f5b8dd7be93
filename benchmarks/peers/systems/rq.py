"""RQ."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import redis
from rq import Queue
from rq.job import Dependency

from peers import work
from peers.system import Command, System, script, valkey

if TYPE_CHECKING:
    from collections.abc import Iterable

CHUNK = 1_000


class Rq(System):
    fans_out = True

    def __init__(self) -> None:
        self.queue = Queue(connection=redis.Redis.from_url(valkey()))

    def enqueue(self, name: str, number: int) -> Any:
        return self.queue.enqueue(work.WORK[name], number)

    def enqueue_many(self, name: str, numbers: Iterable[int]) -> None:
        self._jobs(name, numbers)

    def _jobs(self, name: str, numbers: Iterable[int]) -> list[Any]:
        jobs = [Queue.prepare_data(work.WORK[name], (number,)) for number in numbers]
        return [
            job
            for start in range(0, len(jobs), CHUNK)
            for job in self.queue.enqueue_many(jobs[start : start + CHUNK])
        ]

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        command = script(
            "rq",
            *("worker", "--url", valkey(), "--quiet"),
            *("--worker-class", "peers.systems.rq_worker.Worker"),
        )
        return [command] * (processes * (threads or 1))

    def finished(self) -> int:
        return len(self.queue.finished_job_registry)

    def result(self, handle: Any) -> None:
        handle.latest_result(timeout=60)
        while not handle.is_finished:
            time.sleep(0.001)
            handle.get_status()

    def fan_out(self, children: int) -> None:
        jobs = self._jobs("noop", range(children))
        self.queue.enqueue(work.stamp, children, depends_on=Dependency(jobs))


SYSTEM = Rq()
