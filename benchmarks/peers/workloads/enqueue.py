"""Enqueue one by one, each in a transaction of its own; nobody runs them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peers.system import System

#: Seconds, and calls before they count.
SPAN, QUICK = 1.5, 0.5
WARM = 100


def measure(system: System, quick: bool) -> dict[str, float]:
    for number in range(WARM):
        system.enqueue("noop", number)
    end = (began := time.perf_counter()) + (QUICK if quick else SPAN)
    number = 0
    while (now := time.perf_counter()) < end:
        system.enqueue("noop", number)
        number += 1
    return {"rate": number / (now - began)}
