"""The guard of a task's open transaction: what closes connections leaves its own alone.

`close_old_connections()` takes a connection in an atomic block for one whose user has
changed its autocommit, and closes it (Django's ticket 30448). Channels calls it around
each `database_sync_to_async`, and many a ported task does so in its first line.
"""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from cq.db.lazy_atomic import UNKNOWN, transaction_status

from .run import current


def guard(connection: Any) -> None:
    """Let this connection's `close` do nothing inside an atomic block of a task's code.

    What is broken is closed all the same, and Django's blocks close what they cannot
    roll back: theirs is over by then. This costs nothing but when something is closed.
    """
    if "close" in vars(connection):
        return

    def close() -> None:
        if not _is_to_stay(connection):
            type(connection).close(connection)

    connection.close = close


def _is_to_stay(connection: Any) -> bool:
    return (
        connection.in_atomic_block
        and connection.connection is not None
        and current.get() is not None
        and not _is_broken(connection)
    )


def _is_broken(connection: Any) -> bool:
    if connection.vendor == "sqlite":
        return False
    if connection.vendor == "postgresql":
        raw = connection.connection
        return bool(raw.closed) or transaction_status(raw) == UNKNOWN
    return connection.errors_occurred and not connection.is_usable()


def _guard_opened(connection: Any, **kwargs: Any) -> None:
    guard(connection)


def install() -> None:
    """Guard what is open in this thread, and whatever is opened from now on."""
    connection_created.connect(_guard_opened, dispatch_uid="cq.runs.open_blocks")
    for connection in connections.all(initialized_only=True):
        guard(connection)
