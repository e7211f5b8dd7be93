"""What lines of a log cost the task that writes them.

A task of a second with a line each millisecond against the same without, in turn; and
as many lines as one task can write that does nothing else.
"""

from __future__ import annotations

from statistics import median

from cqbench import tasks
from cqbench.workers import WorkerProcess, worker

#: Steps of about a millisecond, and runs of each kind.
STEPS, RUNS = 1_000, 5
STEPS_QUICK, RUNS_QUICK = 200, 1
#: Lines of the storm: ten times what a log keeps.
LINES, LINES_QUICK = 100_000, 10_000


def measure(quick: bool) -> dict[str, float]:
    steps, runs = (STEPS_QUICK, RUNS_QUICK) if quick else (STEPS, RUNS)
    lines = LINES_QUICK if quick else LINES
    found: dict[bool, list[float]] = {False: [], True: []}
    storms: list[float] = []
    with worker() as process:
        for _ in range(runs):
            for logs in found:
                found[logs].append(seconds(process, tasks.step, steps, logs))
            storms.append(seconds(process, tasks.storm, lines))
    plain, logged = median(found[False]), median(found[True])
    return {
        "ratio": logged / plain,
        "lines": steps / logged,
        "storm": lines / median(storms),
    }


def seconds(process: WorkerProcess, task: object, *args: object) -> float:
    """Return how long its run took, by the database's clock."""
    handle = task.delay(*args)  # type: ignore[attr-defined]
    process.until_settled(handle)
    handle.refresh_from_db()
    assert handle.status == "COMPLETE", handle.reason
    took: float = (handle.finished - handle.started).total_seconds()
    return took
