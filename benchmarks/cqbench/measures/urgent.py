"""From the call to the start of an urgent task, beside a backlog of another priority."""

from __future__ import annotations

import random
import time
from statistics import quantiles

from cqbench import tasks
from cqbench.measures.latency import milliseconds
from cqbench.workers import worker

BACKLOG, QUICK_BACKLOG = 200_000, 20_000
COUNT, QUICK = 100, 20
#: Seconds between two calls, at random: not in step with the looks of the worker.
PAUSE = (0.05, 0.15)


def measure(quick: bool) -> dict[str, float]:
    with worker() as process:
        count = QUICK_BACKLOG if quick else BACKLOG
        bulk = tasks.noop.using(queue="bulk", priority=-50)
        last = bulk.delay_many([(number,) for number in range(count)])[-1]
        urgent = tasks.noop.using(queue="urgent", priority=50)
        found = []
        for _ in range(QUICK if quick else COUNT):
            time.sleep(random.uniform(*PAUSE))
            found.append(milliseconds(urgent))
            last.refresh_from_db()
            if last.started is not None:
                break  # There is no backlog any more.
        process.until_settled(last)
    percentiles = quantiles(found, n=20)
    return {"p50": percentiles[9], "p95": percentiles[18]}
