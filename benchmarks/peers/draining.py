"""How fast workers work off what is there when they start."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from django.db import connection

from .catalogue import PEERS
from .running import PATIENCE, started

if TYPE_CHECKING:
    from .running import Workers
    from .system import System

#: Seconds that are looked at, and before them, from the first task that has ended:
#: then all processes and connections are there.
SPAN, QUICK = 2.5, 1.0
WARM = 0.5
#: Seconds between two looks until the first task has ended. Within the span there is
#: none: to count a million finished rows takes both cores for a tenth of a second.
LOOK = 0.2


def drained(
    system: System,
    name: str,
    processes: int,
    threads: int | None = None,
    *,
    quick: bool,
    span: float | None = None,
    share: float = 1.0,
) -> float:
    """Return tasks a second while more than enough is there.

    share: of the catalogue's backlog, which is for the fastest way.
    """
    span = span or (QUICK if quick else SPAN)
    backlog = PEERS[os.environ["CQ_BENCH_PEER"]].backlog * share
    # Enough for a span, and not all is looked at: the end has no rate.
    backlog = max(500, int(backlog * (0.6 if quick else span / SPAN)))
    before = system.finished()
    system.enqueue_many(name, range(backlog))
    analyze()
    with started(system.workers(processes, threads)) as workers:
        end = time.monotonic() + PATIENCE
        while system.finished() == before:
            if time.monotonic() > end:
                raise RuntimeError(f"none of {backlog} tasks in {PATIENCE:g} s")
            pause(workers, LOOK)
        pause(workers, WARM)
        some, first = system.finished() - before, time.perf_counter()
        pause(workers, span)
        most, last = system.finished() - before, time.perf_counter()
    if most >= backlog:
        raise RuntimeError(
            f"{backlog} tasks are too few for {WARM + span:g} s: raise the backlog in "
            "peers/catalogue.py"
        )
    return (most - some) / (last - first)


def pause(workers: Workers, seconds: float) -> None:
    """Wait, and raise RuntimeError when a worker ends meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, LOOK))
        workers.check()


def analyze() -> None:
    """Do what autovacuum does within a minute of so many rows.

    Procrastinate takes its jobs three times as fast by a plan that knows how many wait.
    """
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
