"""What two slots cost while they have nothing to do."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from cqbench.processes import cpu, memory
from cqbench.statements import executed, logged

from peers.running import Stamps, ready

if TYPE_CHECKING:
    from peers.system import System

#: Seconds that are looked at: a figure by the minute, so not less than their beats.
SPAN, QUICK = 15.0, 2.0
#: Seconds until what a start brings with it is over.
REST = 2.0


def measure(system: System, quick: bool) -> dict[str, float]:
    span = QUICK if quick else SPAN
    stamps = Stamps()
    try:
        with logged(), ready(system, stamps, *system.slots(2)) as workers:
            time.sleep(REST)
            used, asked = sum(map(cpu, workers.pids)), queries()
            time.sleep(span)
            used, asked = sum(map(cpu, workers.pids)) - used, queries() - asked
            return {
                "memory": sum(memory(pid, "Pss") for pid in workers.pids),
                "cpu": used * 60 / span,
                "queries": asked / span,
            }
    finally:
        stamps.close()


def queries() -> int:
    """Statements of the workers on PostgreSQL, and commands on Valkey, so far."""
    found = executed()
    if url := os.environ.get("CQ_BENCH_VALKEY"):
        import redis

        with redis.Redis.from_url(url) as client:
            found += int(client.info("stats")["total_commands_processed"])
    return found
