"""SQLite: one worker process, and a site that enqueues while it is busy."""

from __future__ import annotations

import random
import time
from statistics import quantiles
from typing import Any

from cq.models import Task
from cqbench import tasks
from cqbench.drains import drained
from cqbench.workers import worker

COUNT, QUICK = 20_000, 2_000
#: Of atomic tasks, which take longer.
WRITES = 0.2
#: Seconds between two calls of the site, at random.
PAUSE = (0.002, 0.01)


def measure(quick: bool) -> dict[str, float]:
    count = QUICK if quick else COUNT
    writes = round(count * WRITES)
    p50, p99 = beside(tasks.noop, count)
    return {
        "rate": drained(tasks.noop, count)["rate"],
        "p50": p50,
        "p99": p99,
        "writes": drained(tasks.write, writes)["rate"],
        "writes_p99": beside(tasks.write, writes)[1],
    }


def beside(task: Any, count: int) -> tuple[float, float]:
    """Return the median and the 99th percentile of .delay() in ms, while tasks run."""
    found: list[float] = []
    with worker() as process:
        last = task.delay_many([(number,) for number in range(count)])[-1]
        busy = Task.objects.filter(pk=last.pk, finished__isnull=True)
        while busy.exists():
            time.sleep(random.uniform(*PAUSE))
            began = time.perf_counter()
            tasks.noop.delay(0)
            found.append((time.perf_counter() - began) * 1000)
        process.until_settled(last)
    percentiles = quantiles(found, n=100)
    return percentiles[49], percentiles[98]
