"""This thread's connections: which there are, and which of them are broken."""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import connections

from . import internals

if TYPE_CHECKING:
    from collections.abc import Sequence

from typing import TYPE_CHECKING


def of_this_thread(connection: Any) -> Sequence[Any]:
    """Return this thread's connections, of which this is one."""
    if len(connections.settings) == 1:
        # To look for others takes a tenth of the time of a short task.
        return [connection]
    return connections.all(initialized_only=True)


#: Seconds from a thread's last look at its connections to the next.
IDLE_SECONDS = 0.05
_last = threading.local()


def drop_broken_when_idle() -> None:
    """As `drop_broken`, unless this thread has just done so: for before each task."""
    now = time.monotonic()
    if now - getattr(_last, "look", 0.0) > IDLE_SECONDS:
        _last.look = now
        drop_broken()


def drop_broken() -> None:
    """Close those of this thread's connections that the next task would fail on.

    A server that was restarted has ended them while they were idle, or they had an
    error that nobody looked into. One in a transaction is left to who opened it.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None or connection.in_atomic_block:
            continue
        if internals.had_errors(connection):
            connection.close_if_unusable_or_obsolete()
        elif _has_hung_up(connection):
            connection.close()


def _has_hung_up(connection: Any) -> bool:
    # An idle session has nothing to say but good-bye. The socket knows, without a query.
    if connection.vendor == "sqlite" or not hasattr(select, "poll"):
        return False
    try:
        descriptor = connection.connection.fileno()
    except AttributeError:  # a driver that doesn't tell
        return False
    except (connection.Database.Error, OSError):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def in_memory(using: str) -> bool:
    """Tell whether the database is SQLite's in memory, which one process has alone."""
    connection = connections[using]
    return connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]


def leave_pools() -> None:
    """Connect to each database without a pool of Django's, for all of this process.

    The threads of a worker keep their connections. From a pool they would take them all
    for good, four by default, and everything else would wait for one until it gives up.
    Before they start: a connection of theirs goes back to where it came from.
    """
    for alias in connections:
        settings: dict[str, Any] = connections.settings[alias]
        options = settings.get("OPTIONS") or {}
        if not options.get("pool"):
            continue
        connection: Any = connections[alias]
        connection.close()
        if alias in getattr(connection, "_connection_pools", {}):
            connection.close_pool()
        # Another dictionary, for that of the settings module is not ours.
        settings["OPTIONS"] = {k: v for k, v in options.items() if k != "pool"}
