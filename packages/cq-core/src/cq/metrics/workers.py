"""The worker processes: when each was last seen, and how many slots one has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cq.conf import conf
from cq.db.connections import in_memory
from cq.tables.queries import workers
from cq.workers.liveness import is_mine
from cq.workers.lock_files import lock_is_free, uses_lock_files

from .moments import seconds

if TYPE_CHECKING:
    from datetime import datetime

MOST_WORKERS = 1_000
#: Of a process, where none is alive: what `cqworker` has unless told otherwise.
USUAL_SLOTS = 4.0


class Workers(NamedTuple):
    """The worker processes of a database.

    seen: seconds ago, by (host and process id, kind). slots: of a process, on average.
    queues: what those that are alive name as theirs.
    """

    seen: dict[tuple[str, str], float]
    slots: float
    queues: set[str]


def registered(using: str, now: datetime) -> Workers:
    """Return the worker processes that have a row; one statement."""
    by_lock = uses_lock_files(using)
    seen: dict[tuple[str, str], float] = {}
    slots: list[int] = []
    queues: set[str] = set()
    for row in workers(using).order_by("-last_seen")[:MOST_WORKERS]:
        age = seconds(row.last_seen, now) or 0.0
        alive = age < conf.LEASE or in_memory(using)
        if by_lock:
            # On SQLite nobody writes a heartbeat; the lock tells instead. Not that of
            # this very process, which would give it up by looking.
            alive = is_mine(row.pk) or not lock_is_free(using, row.pk)
            age = 0.0 if alive else age
        key = (f"{row.host}:{row.pid}", row.kind)
        seen[key] = min(age, seen.get(key, age))
        if alive:
            slots.append(max(1, row.slots))
            names = [str(name) for name in row.queues or []]
            queues.update(name for name in names if not name.startswith("-"))
    return Workers(seen, sum(slots) / len(slots) if slots else USUAL_SLOTS, queues)
