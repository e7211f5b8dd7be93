"""Many queues with a task each, run by one worker process."""

from __future__ import annotations

import time

from django.db import transaction

from cqbench import tasks
from cqbench.workers import worker

COUNT, QUICK = 10_000, 1_000


def measure(quick: bool) -> dict[str, float]:
    count = QUICK if quick else COUNT
    with worker() as process:
        with transaction.atomic():
            queued = [
                tasks.noop.using(queue=f"q{number:05}").delay(number)
                for number in range(count)
            ]
            began = time.perf_counter()
        process.until_settled(queued[-1])
        return {"rate": count / (time.perf_counter() - began)}
