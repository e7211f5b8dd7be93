"""One parent, its children, and what comes after the last: from the call to its start.

Two processes. A system that cannot do it in five minutes has no figure.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from peers.running import Stamps, ready

if TYPE_CHECKING:
    from peers.system import System

COUNTS, QUICK = (1_000, 10_000, 100_000), (1_000,)
#: Seconds: 100,000 children at a few hundred a second.
PATIENCE = 300.0


def measure(system: System, quick: bool) -> dict[str, float]:
    if not system.fans_out:
        return {}
    found: dict[str, float] = {}
    for children in QUICK if quick else COUNTS:
        if children > system.children:
            break
        system.empty()
        stamps = Stamps()
        with ready(system, stamps, processes=2):
            seconds(system, stamps, 10)
            found[f"seconds_{children}"] = seconds(system, stamps, children)
        stamps.close()
    return found


def seconds(system: System, stamps: Stamps, children: int) -> float:
    began = time.time()
    system.fan_out(children)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        system.nudge()
        stamp = stamps.next(0.1)
        if stamp and stamp[0] == children:
            return stamp[1] - began
    raise RuntimeError(f"no callback after {children} children in {PATIENCE:g} s")
