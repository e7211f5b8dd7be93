"""What a worker takes that has run some tasks, and has nothing to do any more."""

from __future__ import annotations

import time

from django.db import connection

from cqbench.processes import cpu, memory
from cqbench.workers import worker

#: Seconds that it is looked at: a figure by the minute, so not less than its beats.
SPAN, QUICK = 30.0, 5.0


def measure(quick: bool) -> dict[str, float]:
    span = QUICK if quick else SPAN
    with worker() as process:
        before = cpu(process.pid), transactions()
        time.sleep(span)
        took, count = cpu(process.pid) - before[0], transactions() - before[1]
        return {
            "pss": memory(process.pid, "Pss"),
            "rss": memory(process.pid, "Rss"),
            "cpu": took * 60 / span,
            "transactions": count / span,
        }


def transactions() -> int:
    """Transactions of the database so far, autovacuum's and this look's among them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database "
            "WHERE datname = current_database()"
        )
        return int(cursor.fetchone()[0])
