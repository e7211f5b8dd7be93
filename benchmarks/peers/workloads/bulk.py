"""Enqueue many calls by what the system has for many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peers.system import System

COUNT, QUICK = 20_000, 4_000
#: Calls before they count; by them is seen how many take no longer than that.
WARM, SECONDS = 1_000, 3.0


def measure(system: System, quick: bool) -> dict[str, float]:
    seconds(system, WARM)
    most = int(SECONDS * WARM / seconds(system, WARM))
    count = min(QUICK if quick else COUNT, max(WARM, most))
    return {"rate": count / seconds(system, count)}


def seconds(system: System, count: int) -> float:
    began = time.perf_counter()
    system.enqueue_many("noop", range(count))
    return time.perf_counter() - began
