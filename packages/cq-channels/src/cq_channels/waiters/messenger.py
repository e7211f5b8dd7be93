"""The messenger that tells those who wait that a task has settled, by NOTIFY.

Where there is no LISTEN (other databases, a pooler before this one), nobody is told, and
whoever waits looks at the row.
"""

from __future__ import annotations

import contextlib
import logging
import os
from functools import partial
from typing import TYPE_CHECKING

from django.db import DatabaseError, connections, transaction

from cq.db import poolers
from cq.db.statements import speaks_psycopg
from cq.workers import notices
from cq_channels.doorbells.notify import connect

from .listener import SettledListener

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from .listener import Heard

logger = logging.getLogger("cq.doorbell")

CHANNEL = "cq-settled"
#: Ids in one message: 33 characters each, of the 8000 bytes that PostgreSQL takes.
MAX_IDS = 200
#: Seconds between two looks at whether to go on listening.
POLL_SECONDS = 0.1

# Without waiting for the disk, as for the doorbell: a message that is lost in a crash
# would be lost all the same.
_SEND = (
    "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, payload)"
    " FROM unnest(%s::text[]) payload"
)


class NotifyMessenger:
    """The messenger of one process: a listener for each database that it waits on."""

    def __init__(self) -> None:
        self._listeners: dict[str, SettledListener] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._listeners.clear)

    def listen(
        self, using: str, task_id: UUID, heard: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Call `heard` when the task may have settled; see :mod:`cq.workers.notices`."""
        if not speaks_psycopg(connections[using]) or poolers.is_told_of(using):
            return None
        listener = self._listeners.setdefault(
            using, SettledListener(partial(_listen, using))
        )
        return listener.listen(task_id.hex, heard)

    def tell(self, using: str, ids: Sequence[UUID]) -> None:
        """Tell who listens, once the present transaction has committed."""
        if connections[using].in_atomic_block:
            transaction.on_commit(partial(_tell, using, ids), using=using, robust=True)
        else:
            _tell(using, ids)


def _tell(using: str, ids: Sequence[UUID]) -> None:
    parts = [ids[n : n + MAX_IDS] for n in range(0, len(ids), MAX_IDS)]
    payloads = [",".join(task_id.hex for task_id in part) for part in parts]
    try:
        with connections[using].cursor() as cursor:
            cursor.execute(_SEND, [CHANNEL, payloads])
    except DatabaseError as error:
        logger.debug("could not tell who waits: %s", error)


def _listen(using: str, heard: Heard, over: Callable[[], bool]) -> None:
    """Hand on what is heard until it is `over`."""
    with contextlib.closing(connect(using, "cq waiting")) as connection:
        if poolers.is_behind(connection.cursor()):
            raise DatabaseError("there is a pooler before the database")
        connection.execute(f'LISTEN "{CHANNEL}"')
        connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", notices.LOCK)
        # For tasks that have settled before.
        heard(None)
        while not over():
            for notice in connection.notifies(timeout=POLL_SECONDS):
                heard(notice.payload.split(","))
                if over():
                    break


messenger = NotifyMessenger()
