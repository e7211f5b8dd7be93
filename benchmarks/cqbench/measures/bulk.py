"""Many calls of one task by ``delay_many``, to their commit."""

from __future__ import annotations

import time

from cqbench import tasks

COUNT, QUICK = 20_000, 2_000


def measure(quick: bool) -> dict[str, float]:
    tasks.noop.delay_many([(0,)])
    count = QUICK if quick else COUNT
    calls = [(number,) for number in range(count)]
    began = time.perf_counter()
    tasks.noop.delay_many(calls)
    return {"rate": count / (time.perf_counter() - began)}
