"""Durable tasks: a step, a rerun, what wakes one, and the same workflow by DBOS."""

from __future__ import annotations

import random
import sys
import time
from datetime import timedelta
from statistics import fmean, median, quantiles
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.db.models import Max
from peers.environments import tool

from cq.db.clock import database_now
from cq.models import Task
from cqbench import durable
from cqbench.turns.dbos_side import DbosSide
from cqbench.turns.side import Side
from cqbench.turns.taking import compare
from cqbench.workers import PATIENCE, worker

if TYPE_CHECKING:
    from datetime import datetime

    from cqbench.workers import WorkerProcess

#: Pairs of blocks, and steps in a block.
PAIRS, QUICK_PAIRS, BLOCK = 40, 6, 50
STEPS = 1_000
RERUNS, QUICK_RERUNS = 30, 4
SENDS, QUICK_SENDS = 300, 40
#: Seconds between two messages, at random: not in step with the looks of the worker.
PAUSE = (0.02, 0.06)
NAPS, QUICK_NAPS = 100_000, 2_000
MINUTE = 60.0
#: Workflows in the first turns, which find out how many are to be in one.
FIRST = 50


def measure(quick: bool) -> dict[str, float]:
    # First: without it there is nothing to compare with. The same Python for both.
    other = DbosSide(tool("dbos", sys.executable))
    with worker() as process:
        found = _step(process, QUICK_PAIRS if quick else PAIRS)
        found["rerun"] = _rerun(process, QUICK_RERUNS if quick else RERUNS)
        found |= _send(process, QUICK_SENDS if quick else SENDS)
    found |= _wake(QUICK_NAPS if quick else NAPS)
    return found | _beside(other, quick)


def _step(process: WorkerProcess, pairs: int) -> dict[str, float]:
    """How much longer a step takes than a transaction with the same INSERT."""
    handle = durable.steps_and_bare.delay(pairs, BLOCK)
    process.until_settled(handle)
    steps, bare = handle.get()
    return {
        "step": median(a / b for a, b in zip(steps, bare, strict=True)),
        "step_ms": median(steps) * 1000 / BLOCK,
        "bare_ms": median(bare) * 1000 / BLOCK,
    }


def _rerun(process: WorkerProcess, times: int) -> float:
    """Milliseconds of a run, all of it, whose steps have all been done."""
    handle = durable.count_steps.delay(STEPS)
    process.until_settled(handle)
    done = list(handle.steps.values_list("pk", flat=True))
    took: list[float] = []
    for _ in range(times):
        handle.retry()
        process.until_settled(handle)
        handle.refresh_from_db()
        assert handle.started is not None
        assert handle.finished is not None
        took.append((handle.finished - handle.started).total_seconds() * 1000)
    if len(done) != STEPS or done != list(handle.steps.values_list("pk", flat=True)):
        raise RuntimeError("a rerun has done its steps again")
    return median(took)


def _send(process: WorkerProcess, count: int) -> dict[str, float]:
    """Milliseconds from the call of send() to the code behind wait_for()."""
    handles = durable.answer.delay_many([()] * (count + 1))
    waiting = Task.objects.waiting_for("go")
    process.until(lambda: waiting.count() == len(handles), "the waits")
    took: list[float] = []
    for handle in handles:
        time.sleep(random.uniform(*PAUSE))
        began = time.time()
        handle.send("go")
        took.append((handle.get(PATIENCE) - began) * 1000)
    # Behind the first one who sends is connected, too.
    percentiles = quantiles(took[1:], n=20)
    return {"send": percentiles[9], "send_p95": percentiles[18]}


# --- what wakes at once -------------------------------------------------------------------


def _wake(count: int) -> dict[str, float]:
    """How fast tasks run that were asleep, against the same without a sleep."""
    # Without, with, without: a machine that changes its speed meanwhile changes both.
    before = _without_sleep(count)
    woken = _woken(count, before)
    without = fmean([before, _without_sleep(count)])
    return {"wake": woken / without, "woken": woken, "without": without}


def _without_sleep(count: int) -> float:
    """Tasks a second, from the commit of all to the end of the last."""
    _empty()
    with worker() as process:
        with transaction.atomic():
            queued = durable.nap.delay_many([()] * count)
            began = time.perf_counter()
        process.until_settled(queued[-1])
        return count / (time.perf_counter() - began)


def _woken(count: int, rate: float) -> float:
    """Tasks a second, from the moment at which the first is due to the end of the last.

    They are due within a minute, and twice as fast as their `rate` without a sleep: the
    worker never waits for them.
    """
    _empty()
    span = min(MINUTE, count / rate / 2)
    with worker() as process:
        first = database_now("default") + timedelta(days=1)
        moments = [first.timestamp() + span * n / count for n in range(count)]
        queued = durable.nap.delay_many([(moment,) for moment in moments])
        awake = Task.objects.filter(status__in=["QUEUED", "RUNNING"])
        process.until(lambda: not awake.exists(), "the last one's sleep", pause=0.2)
        first = _brought_near(first, seconds=3 + count / 5_000)
        process.until_settled(queued[-1])
    naps = Task.objects.filter(name=durable.nap.name)
    last: datetime = naps.aggregate(last=Max("finished"))["last"]
    return count / (last - first).total_seconds()


def _brought_near(first: datetime, seconds: float) -> datetime:
    """Move all moments, so that the first is that soon, and wait for it; when it is.

    How long they take to fall asleep is not known before.
    """
    soon = database_now("default") + timedelta(seconds=seconds)
    with connection.cursor() as cursor:
        for table, column in ("cq_tasks", "run_after"), ("cq_steps", "finished"):
            cursor.execute(
                f"UPDATE {table} SET {column} = {column} - make_interval(secs => %s)"
                f" WHERE {column} > %s",
                [(first - soon).total_seconds(), first - timedelta(hours=1)],
            )
            cursor.execute(f"VACUUM ANALYZE {table}")
    if (left := (soon - database_now("default")).total_seconds()) < 0:
        raise RuntimeError(f"the moments were moved {-left:.1f} s too late")
    time.sleep(left)
    return soon


def _empty() -> None:
    """Leave nothing of the part before."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE cq_tasks, cq_steps, cq_messages, cq_attempts")


# --- beside DBOS --------------------------------------------------------------------------


def _beside(other: DbosSide, quick: bool) -> dict[str, float]:
    """Workflows of ten steps a second, of which each writes a row: cq's and DBOS's."""
    turns = compare(
        "workflows", "workflow", other, Side("cq"), quick=quick, first_count=FIRST
    )
    theirs, ours = turns.rates
    return {"dbos": median(turns.rate), "workflows": ours, "dbos_workflows": theirs}
