"""Carries to those who wait that a task has settled, by PostgreSQL's NOTIFY.

Where there is no LISTEN (other databases, a pooler before this one), nothing is carried,
and who waits looks at the row.
"""

from __future__ import annotations

import contextlib
import logging
import os
from functools import partial
from typing import TYPE_CHECKING

from django.db import DatabaseError, connections, transaction

from cq import notices, poolers
from cq.statements import speaks_psycopg

from .doorbells.notify import connect
from .ear import Ear

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from .ear import Heard

logger = logging.getLogger("cq.doorbell")

CHANNEL = "cq-settled"
#: Ids in one message: 33 characters each, of the 8000 bytes that PostgreSQL takes.
MOST_IDS = 200
#: Seconds between two looks at whether to go on listening.
LOOK = 0.1

# As for the doorbell: nothing is lost with it that waiting for the disk would save.
_SEND = (
    "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, payload)"
    " FROM unnest(%s::text[]) payload"
)


class NotifyMessenger:
    """The messenger of one process: an ear for each database that it waits on."""

    def __init__(self) -> None:
        self._ears: dict[str, Ear] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._ears.clear)

    def listen(
        self, using: str, task_id: UUID, heard: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Call `heard` when the task may have settled; see :mod:`cq.notices`."""
        if not speaks_psycopg(connections[using]) or poolers.is_told_of(using):
            return None
        ear = self._ears.setdefault(using, Ear(partial(_listen, using)))
        return ear.listen(task_id.hex, heard)

    def tell(self, using: str, ids: Sequence[UUID]) -> None:
        """Tell who listens, once the present transaction has committed."""
        if connections[using].in_atomic_block:
            transaction.on_commit(partial(_tell, using, ids), using=using, robust=True)
        else:
            _tell(using, ids)


def _tell(using: str, ids: Sequence[UUID]) -> None:
    parts = [ids[n : n + MOST_IDS] for n in range(0, len(ids), MOST_IDS)]
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
        # For what has settled before.
        heard(None)
        while not over():
            for notice in connection.notifies(timeout=LOOK):
                heard(notice.payload.split(","))
                if over():
                    break


messenger = NotifyMessenger()
