"""How fast workers work off what is there when they start."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from django.db import connection

from .catalogue import PEERS
from .running import PATIENCE, started

if TYPE_CHECKING:
    from .system import System

#: Seconds that are looked at, and before them, from the first task that has ended:
#: then all processes and connections are there.
SPAN, QUICK = 2.5, 1.0
WARM = 0.5
#: Seconds between two looks, each of which costs the system some of the machine.
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
    backlog = max(500, int(backlog * (0.4 if quick else span / SPAN)))
    before = system.finished()
    system.enqueue_many(name, range(backlog))
    analyze()
    with started(system.workers(processes, threads)) as workers:
        looks: list[tuple[float, int]] = []
        began = 0.0
        end = time.monotonic() + PATIENCE
        while True:
            time.sleep(LOOK)
            done = system.finished() - before
            now = time.perf_counter()
            if done >= backlog:
                break
            if done > 0 and not began:
                began = now
            if done > 0 and now - began > WARM:
                looks.append((now, done))
            if looks and now - looks[0][0] > span:
                break
            if time.monotonic() > end:
                raise RuntimeError(f"{done} of {backlog} tasks in {PATIENCE:g} s")
            workers.check()
    if len(looks) < 2:
        raise RuntimeError(f"{backlog} tasks are too few for a rate")
    (first, some), (last, most) = looks[0], looks[-1]
    return (most - some) / (last - first)


def analyze() -> None:
    """Do what autovacuum does within a minute of so many rows.

    Procrastinate takes its jobs three times as fast by a plan that knows how many wait.
    """
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
