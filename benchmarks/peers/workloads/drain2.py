"""No-op tasks, two processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers.draining import drained

if TYPE_CHECKING:
    from peers.system import System


def measure(system: System, quick: bool) -> dict[str, float]:
    return {"rate": drained(system, "noop", 2, quick=quick)}
