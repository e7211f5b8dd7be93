"""No-op tasks run by one worker process."""

from __future__ import annotations

from cqbench import tasks
from cqbench.drains import drained

COUNT, QUICK = 20_000, 2_000


def measure(quick: bool) -> dict[str, float]:
    return drained(tasks.noop, QUICK if quick else COUNT)
