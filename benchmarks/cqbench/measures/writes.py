"""Atomic tasks that write one row through the ORM, on four threads."""

from __future__ import annotations

from cqbench import tasks
from cqbench.drains import drained
from cqbench.models import Written

COUNT, QUICK = 5_000, 500


def measure(quick: bool) -> dict[str, float]:
    count = QUICK if quick else COUNT
    found = drained(tasks.write, count, "--threads", "4")
    written = Written.objects.count()
    if written != count:
        raise RuntimeError(f"{count} tasks have written {written} rows")
    return found
