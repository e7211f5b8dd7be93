"""The advisory lock of a worker on PostgreSQL, which ends with the session that beats for it.

So a dead process is noticed within seconds, however long the lease. The lock tells
nothing where a pooler shares the sessions: there, as on other databases, heartbeats
decide alone.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db import poolers
from cq.tables.queries import workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

logger = logging.getLogger("cq.lease")

#: Seconds for which a lock is free and its worker silent, until that is dead. A restart
#: of the server frees all locks, and the living take theirs again when they next beat.
FREE_SECONDS = 2.5


def can_lock(using: str) -> bool:
    """Tell whether sessions of this database are ours alone, as locks need them.

    By the settings: a pooler that these don't tell of is noticed by `SessionLocks`.
    """
    return connections[using].vendor == "postgresql" and not poolers.is_told_of(using)


class SessionLocks:
    """The locks of some workers, on the connection of the thread that uses this."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._session: Any = None
        self._shared = False
        self._warned = False
        self._held: set[int] = set()

    def hold(self, wanted: Iterable[int]) -> set[int]:
        """Take the locks of these workers and give up all others; those that are held.

        Costs a statement only when something changes, or the session is a new one.
        """
        if not can_lock(self.using):
            return set()
        connection = connections[self.using]
        connection.ensure_connection()
        if connection.connection is not self._session:
            self._session, self._held = connection.connection, set()
            self._shared = self._look_for_pooler()
        if self._shared:
            return set()
        wanted = set(wanted)
        self._call("pg_advisory_unlock", self._held - wanted)
        self._held &= wanted
        self._held |= self._call("pg_try_advisory_lock", wanted - self._held)
        return set(self._held)

    def _look_for_pooler(self) -> bool:
        with connections[self.using].cursor() as cursor:
            found = poolers.is_behind(cursor)
        if found and not self._warned:
            self._warned = True
            logger.warning(
                "There is a pooler before the database %r: who is dead is told by "
                "heartbeats alone. Set %s in DATABASES, for Django's own sake.",
                self.using,
                poolers.SETTING,
            )
        return found

    def _call(self, function: str, ids: set[int]) -> set[int]:
        if not ids:
            return set()
        sql = f"SELECT id, {function}(id) FROM unnest(%s::bigint[]) id"
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, [sorted(ids)])
            return {worker for worker, done in cursor.fetchall() if done}


class LockObserver:
    """An observer of the locks of workers, time and again; each who looks has its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: By worker: when its lock was first seen free, and its last beat before that.
        self._free: dict[int, tuple[float, datetime]] = {}

    def dead(self, using: str) -> list[int]:
        """Return the workers whose lock was free, without a beat, for ``FREE`` seconds."""
        if not can_lock(using):
            return []
        now = self._clock()
        before, self._free = self._free, {}
        dead: list[int] = []
        for worker, last_seen in _unlocked(using):
            since, seen = before.get(worker, (now, last_seen))
            if seen != last_seen:
                since = now
            self._free[worker] = since, last_seen
            if now - since >= FREE_SECONDS:
                dead.append(worker)
        return dead

    def forget(self) -> None:
        """Begin anew: all locks were seen held."""
        self._free.clear()

    def wait(self) -> float:
        """Return the seconds until a look can find one more of them dead, or infinity."""
        now = self._clock()
        ends = (since + FREE_SECONDS for since, _ in self._free.values())
        return min((end - now for end in ends if end > now), default=math.inf)


#: SQL: nobody holds the lock of this worker. A key of 64 bits is shown in two halves.
UNLOCKED = (
    "NOT EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted"
    " AND l.objsubid = 1 AND l.classid = (cq_workers.id >> 32)::oid"
    " AND l.objid = (cq_workers.id & 4294967295)::oid AND l.database ="
    " (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))"
)


def _unlocked(using: str) -> list[tuple[int, datetime]]:
    rows = workers(using).filter(locked=True).extra(where=[UNLOCKED])
    return list(rows.values_list("pk", "last_seen"))
