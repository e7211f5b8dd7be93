"""From the call to the start of the task, while the worker has nothing else to do."""

from __future__ import annotations

import random
import time
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from django.db import transaction

from cqbench import tasks
from cqbench.workers import PATIENCE, worker

if TYPE_CHECKING:
    from cq.models import Task

COUNT, QUICK = 300, 40
#: Seconds between two calls, at random: not in step with the looks of the worker.
PAUSE = (0.02, 0.06)


def measure(quick: bool) -> dict[str, float]:
    with worker():
        milliseconds(tasks.noop)  # who sends is connected, too
        found = []
        for _ in range(QUICK if quick else COUNT):
            time.sleep(random.uniform(*PAUSE))
            found.append(milliseconds(tasks.noop))
    percentiles = quantiles(found, n=100)
    return {"p50": percentiles[49], "p99": percentiles[98]}


def milliseconds(task: Any) -> float:
    """Return what lies between, the commit included, by the database's clock."""
    with transaction.atomic():
        handle: Task = task.delay(1)
    handle.wait(PATIENCE)
    handle.refresh_from_db()
    assert handle.started is not None
    return (handle.started - handle.submitted).total_seconds() * 1000
