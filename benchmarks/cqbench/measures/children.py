"""One parent with many children against one with few: cost per child, end to end.

Beside the time the CPU of worker and database, which says the same of a machine that
has nothing else to do, and far more of one that has.
"""

from __future__ import annotations

import time

from cqbench import tasks
from cqbench.processes import cpu, postgres
from cqbench.workers import WorkerProcess, worker

MANY, FEW = 10_000, 1_000
MANY_QUICK, FEW_QUICK = 1_000, 100

#: Milliseconds per child: of time, and of CPU.
Cost = tuple[float, float]


def measure(quick: bool) -> dict[str, float]:
    many, few = (MANY_QUICK, FEW_QUICK) if quick else (MANY, FEW)
    with worker() as process:
        cost(process, few)
        # Few, many, few: a machine that changes its speed meanwhile changes both.
        before = cost(process, few)
        of_many = cost(process, many)
        after = cost(process, few)
    of_few = (before[0] + after[0]) / 2, (before[1] + after[1]) / 2
    return {
        "ratio": of_many[0] / of_few[0],
        "cpu": of_many[1] / of_few[1],
        "many": of_many[0],
        "few": of_few[0],
    }


def cost(process: WorkerProcess, count: int) -> Cost:
    """From the call to the end of the parent."""
    pids = process.pid, postgres()
    began, used = time.perf_counter(), cpu(*pids)
    process.until_settled(tasks.children.delay(count))
    took, used = time.perf_counter() - began, cpu(*pids) - used
    return took * 1000 / count, used * 1000 / count
