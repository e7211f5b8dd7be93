"""Procrastinate, by its Django app."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from procrastinate.contrib.django import app

from peers import work
from peers.catalogue import mode
from peers.system import Command, System, count, django

if TYPE_CHECKING:
    from collections.abc import Iterable

TASKS: dict[str, Any] = {}


def ready(app: Any) -> None:
    """Called by its Django app; before that there is no app to make tasks by."""
    for name, function in work.WORK.items():
        TASKS[name] = app.task(function, name=name)
    if mode() == "killed":
        # From "Retry stalled jobs" of its documentation.
        @app.periodic(cron="*/1 * * * *")
        @app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
        async def retry_stalled_jobs(context: Any, timestamp: int) -> None:
            for job in await app.job_manager.get_stalled_jobs():
                await app.job_manager.retry_job(job)


class Procrastinate(System):
    table = "procrastinate_jobs"

    def enqueue(self, name: str, number: int) -> Any:
        return app.tasks[name].defer(number=number)

    def enqueue_many(self, name: str, numbers: Iterable[int]) -> None:
        app.tasks[name].batch_defer(*({"number": number} for number in numbers))

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        command = django("procrastinate", "worker", "-c", str(threads or 10))
        return [command] * processes

    def finished(self) -> int:
        return count(
            "SELECT count(*) FROM procrastinate_jobs "
            "WHERE status IN ('succeeded', 'failed')"
        )

    def result(self, handle: Any) -> None:
        # It has nothing to wait by, and keeps no results but the status.
        done = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
        while not count(f"{done} AND id = {int(handle)}"):
            time.sleep(0.005)


SYSTEM = Procrastinate()
