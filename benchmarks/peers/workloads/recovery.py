"""200 tasks of 50 ms on two slots; everything is killed -9 once, and started again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.db.models import Count

from peers.models import Written
from peers.running import started
from peers.work import SLOW

if TYPE_CHECKING:
    from peers.system import System

TASKS = 200
SLOTS = 2
#: Tasks after which they are killed.
DONE = 60
#: Seconds that what is missing may take.
PATIENCE, QUICK = 120.0, 15.0


def measure(system: System, quick: bool) -> dict[str, float]:
    system.enqueue_many("slow", range(TASKS))
    with started(system.workers(*system.slots(SLOTS))) as first:
        until(DONE, 60.0)
        first.kill()
        killed = time.monotonic()
        left = TASKS - numbers()
    with started(system.workers(*system.slots(SLOTS))) as second:
        until(TASKS, QUICK if quick else PATIENCE)
        took = time.monotonic() - killed
        second.check()
    lost = TASKS - numbers()
    doubled = Written.objects.values("number").annotate(n=Count("pk")).filter(n__gt=1)
    found: dict[str, float] = {"lost": lost, "doubled": doubled.count()}
    if not lost:
        # What the tasks that were left take is not the system's.
        found["seconds"] = took - left * SLOW / SLOTS
    return found


def numbers() -> int:
    return Written.objects.values("number").distinct().count()


def until(count: int, patience: float) -> None:
    end = time.monotonic() + patience
    while numbers() < count and time.monotonic() < end:
        time.sleep(0.05)
