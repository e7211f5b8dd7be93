"""Atomic tasks that write one row through the ORM, four slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers.draining import drained
from peers.models import Written

if TYPE_CHECKING:
    from peers.system import System


def measure(system: System, quick: bool) -> dict[str, float]:
    rate = drained(system, "write", *system.slots(4), quick=quick, share=system.writing)
    if not Written.objects.exists():
        raise RuntimeError("no task has written a row")
    return {"rate": rate}
