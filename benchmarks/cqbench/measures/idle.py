"""What a worker takes that has run some tasks, and has nothing to do any more."""

from __future__ import annotations

import time

from cqbench.processes import cpu, memory
from cqbench.statements import executed, logged
from cqbench.workers import worker

#: Seconds that it is looked at: a figure by the minute, so not less than its beats.
SPAN, QUICK = 30.0, 5.0


def measure(quick: bool) -> dict[str, float]:
    span = QUICK if quick else SPAN
    with logged(), worker() as process:
        before = cpu(process.pid), executed()
        time.sleep(span)
        took, count = cpu(process.pid) - before[0], executed() - before[1]
        return {
            "pss": memory(process.pid, "Pss"),
            "rss": memory(process.pid, "Rss"),
            "cpu": took * 60 / span,
            "statements": count / span,
        }
