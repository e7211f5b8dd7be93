"""dj-queue."""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

from django.tasks import default_task_backend

from peers.system import Command, count, django

from .tasks_backend import TASKS, TasksBackend

if TYPE_CHECKING:
    from collections.abc import Iterable

CHUNK = 1_000


class DjQueue(TasksBackend):
    table = "dj_queue_jobs"

    def enqueue_many(self, name: str, numbers: Iterable[int]) -> None:
        backend: Any = default_task_backend
        calls: list[Any] = [(TASKS[name], [number], {}) for number in numbers]
        for start in range(0, len(calls), CHUNK):
            backend.enqueue_all(calls[start : start + CHUNK])

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        worker = {
            "queues": "*",
            "processes": processes,
            "threads": threads or 2,
            "polling_interval": 0.1,
            "prefetch_multiplier": 50,
        }
        file, path = tempfile.mkstemp(".toml")
        with os.fdopen(file, "w") as config:
            config.write("[[workers]]\n")
            config.writelines(f"{k} = {json.dumps(v)}\n" for k, v in worker.items())
        return [django("dj_queue", "--config", path)]

    def finished(self) -> int:
        return count("SELECT count(*) FROM dj_queue_jobs WHERE finished_at IS NOT NULL")


SYSTEM = DjQueue()
