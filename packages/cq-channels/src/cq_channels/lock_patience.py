"""How long a worker's own sessions wait for a lock that somebody holds on cq's tables.

Whoever waits for hours cannot be stopped meanwhile, nor say what it waits for. So what
was waited for in vain is an error, is told of once a minute, and is tried again at once.
The sessions of tasks are theirs, and wait as the project says.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.db.backends.signals import connection_created

from cq import poolers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("cq.worker")

#: For how long: whole seconds, for MariaDB.
SECONDS = 5

_of_thread = threading.local()


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Limit the sessions that this thread opens within."""
    _of_thread.is_limited = True
    try:
        yield
    finally:
        _of_thread.is_limited = False


def _opened(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if not getattr(_of_thread, "is_limited", False):
        return
    try:
        if connection.vendor == "postgresql":
            poolers.set_for_session(connection, "lock_timeout", f"{SECONDS}s")
        elif connection.vendor == "mysql":
            with connection.cursor() as cursor:
                # The latter for who changes the table.
                cursor.execute(
                    "SET innodb_lock_wait_timeout = %s, lock_wait_timeout = %s",
                    [SECONDS, SECONDS],
                )
    except DatabaseError:
        logger.debug("locks are waited for without a limit", exc_info=True)


connection_created.connect(_opened, dispatch_uid="cq_channels.lock_patience")
