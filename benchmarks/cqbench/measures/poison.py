"""What others wait while tasks kill their workers, again and again, until they are LOST.

Two processes of two threads, and tasks of 50 ms that come in at a steady pace: with
nothing beside them, then while one task after the other kills what runs it, then while
as many do so at once.
"""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING

from django.db.models import F

from cq.conf import conf
from cq.models import Task, Worker
from cqbench import tasks
from cqbench.workers import worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from cqbench.workers import WorkerProcess

PROCESSES, THREADS = 2, 2
POISONS, QUICK = 5, 1
#: Tasks of the quiet stretch.
COUNT, COUNT_QUICK = 300, 60
#: Seconds from one call to the next, and what each takes: a quarter of the threads' time.
PACE, TAKES = 0.05, 0.05


def measure(quick: bool) -> dict[str, float]:
    count, poisons = (COUNT_QUICK, QUICK) if quick else (COUNT, POISONS)
    flags = "--processes", str(PROCESSES), "--threads", str(THREADS)
    with worker(*flags) as process:
        quiet = waited(process, lambda made: made >= count)
        single = [took for _ in range(poisons) for took in beside(process, 1)]
        together = beside(process, poisons)
    p95 = [quantiles(found, n=100)[94] for found in (quiet, single, together)]
    return {
        "quiet": p95[0] * 1000,
        "single": p95[1] * 1000,
        "ratio": p95[1] / p95[0],
        "longest": max(single),
        "together": p95[2] * 1000,
    }


def beside(process: WorkerProcess, poisons: int) -> list[float]:
    """Return what tasks waited while some went on killing until they were LOST."""
    alive = Worker.objects.filter(kind="worker")
    process.until(lambda: alive.count() == PROCESSES, "its processes")
    killing = [tasks.kill_worker.delay() for _ in range(poisons)]
    found = waited(
        process, lambda made: made % 20 == 0 and settled(killing) == len(killing)
    )
    losses = Task.objects.filter(pk__in=pks(killing)).values_list("losses", flat=True)
    assert set(losses) == {conf.MAX_LOSSES}, losses
    return found


def waited(process: WorkerProcess, enough: Callable[[int], bool]) -> list[float]:
    """Return the seconds from call to end of each task made until there are enough."""
    made: list[Task] = []
    while not made or not enough(len(made)):
        made.append(tasks.take.delay(TAKES))
        time.sleep(PACE)
    process.until(lambda: settled(made) == len(made), "the end of the tasks")
    rows = Task.objects.filter(pk__in=pks(made)).annotate(
        took=F("finished") - F("submitted")
    )
    return [took.total_seconds() for took in rows.values_list("took", flat=True)]


def settled(made: list[Task]) -> int:
    return Task.objects.filter(pk__in=pks(made), finished__isnull=False).count()


def pks(made: list[Task]) -> list[UUID]:
    return [task.pk for task in made]
