"""From the call to the start, and to the result, while there is nothing else to do."""

from __future__ import annotations

import random
import time
from statistics import quantiles
from typing import TYPE_CHECKING

from peers.running import Stamps, ready

if TYPE_CHECKING:
    from peers.system import System

#: Calls, and seconds after which no more are made.
COUNT, QUICK = 150, 15
SPAN, QUICK_SPAN = 8.0, 3.0
#: Seconds between two calls, at random: not in step with the looks of a worker.
PAUSE = (0.02, 0.06)


def measure(system: System, quick: bool) -> dict[str, float]:
    starts: list[float] = []
    results: list[float] = []
    stamps = Stamps()
    with ready(system, stamps, processes=1):
        time.sleep(0.5)
        end = time.monotonic() + (QUICK_SPAN if quick else SPAN)
        for number in range(QUICK if quick else COUNT):
            time.sleep(random.uniform(*PAUSE))
            began = time.time()
            handle = system.enqueue("stamp", number)
            system.result(handle)
            results.append(time.time() - began)
            starts.append(stamps.of(number) - began)
            if time.monotonic() > end:
                break
    stamps.close()
    return {
        "start_p50": _milliseconds(starts, 50),
        "start_p99": _milliseconds(starts, 99),
        "result_p50": _milliseconds(results, 50),
        "result_p99": _milliseconds(results, 99),
    }


def _milliseconds(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] * 1000
