"""What a claim takes while a million tasks are ready beside five million finished ones."""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING

from cq.models import Task
from cq.workers import lease
from cq.workers.claim_order import claim_next
from cqbench import tasks
from cqbench.copies import copy
from cqbench.workers import worker

if TYPE_CHECKING:
    from cq.workers.cursors import Cursors

READY, FINISHED = 1_000_000, 5_000_000
READY_QUICK, FINISHED_QUICK = 20_000, 50_000
#: Claims of a single task, and of as many as a worker claims ahead.
SINGLE, SINGLE_QUICK = 2_000, 200
MANY, MANY_QUICK = 1_000, 50
AHEAD = 200


def measure(quick: bool) -> dict[str, float]:
    with worker() as process:
        done = tasks.noop.delay(0)
        process.until_settled(done)
    copy(Task, done.pk, FINISHED_QUICK if quick else FINISHED, root_id="new.id")
    ready = tasks.noop.delay(1)
    copy(Task, ready.pk, READY_QUICK if quick else READY, root_id="new.id")
    by = lease.new_worker_id()
    # From the front each time, where what was claimed before has left its entries.
    single = seconds(by, SINGLE_QUICK if quick else SINGLE, 1, None)
    many = seconds(by, MANY_QUICK if quick else MANY, AHEAD, {})
    return {
        "single_p50": percentile(single, 50) * 1000,
        "single_p95": percentile(single, 95) * 1000,
        "many_p50": percentile(many, 50) * 1000,
        "many_p95": percentile(many, 95) * 1000,
    }


def seconds(by: int, times: int, limit: int, cursors: Cursors | None) -> list[float]:
    """Return how long each of so many claims took, its commit included."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        claimed = claim_next("default", by, limit, cursors=cursors)
        found.append(time.perf_counter() - began)
        if not claimed:
            raise RuntimeError("there was nothing left to claim")
    return found


def percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]
