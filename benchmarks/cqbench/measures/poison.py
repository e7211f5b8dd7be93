"""What others wait while tasks kill their workers, again and again, until they are LOST.

Two processes of two threads, and tasks of 50 ms that come in at a steady pace; first
with nothing beside them, then while one task after the other kills what runs it.
"""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING

from django.db.models import F

from cq.models import Task
from cqbench import tasks
from cqbench.workers import worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from cqbench.workers import WorkerProcess

POISONS, QUICK = 5, 1
#: Tasks of the quiet stretch.
COUNT, COUNT_QUICK = 300, 60
#: Seconds from one call to the next, and what each takes: half of the threads' time.
PACE, TAKES = 0.025, 0.05


def measure(quick: bool) -> dict[str, float]:
    count = COUNT_QUICK if quick else COUNT
    with worker("--processes", "2", "--threads", "2") as process:
        quiet = waited(process, lambda made: made >= count)
        poisons: list[Task] = []
        for _ in range(QUICK if quick else POISONS):
            poisons.append(tasks.kill_worker.delay())
        beside = waited(process, lambda made: made % 20 == 0 and all_lost(poisons))
    before, meanwhile = (quantiles(found, n=100)[94] for found in (quiet, beside))
    losses = sum(
        Task.objects.filter(pk__in=pks(poisons)).values_list("losses", flat=True)
    )
    return {
        "quiet": before * 1000,
        "beside": meanwhile * 1000,
        "ratio": meanwhile / before,
        "longest": max(beside),
        "kills": losses,
    }


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
    return [row.total_seconds() for row in rows.values_list("took", flat=True)]


def all_lost(poisons: list[Task]) -> bool:
    return settled(poisons) == len(poisons)


def settled(made: list[Task]) -> int:
    return Task.objects.filter(pk__in=pks(made), finished__isnull=False).count()


def pks(made: list[Task]) -> list[object]:
    return [task.pk for task in made]
