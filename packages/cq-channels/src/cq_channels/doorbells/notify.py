"""The doorbell of PostgreSQL: NOTIFY, for which no other server is needed.

It is sent by itself, after the commit. Within the transaction that queued the tasks it
would hold a lock over the whole database until the commit, and so no two transactions
could commit together.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db import poolers

from . import messages

if TYPE_CHECKING:
    import threading

    import psycopg

    from cq.workers.doorbell import Ready

    from .protocol import Wake

logger = logging.getLogger("cq.doorbell")

#: PostgreSQL takes payloads shorter than 8000 bytes.
MAX_PAYLOAD_BYTES = 7999
#: Seconds between two looks at whether to stop.
STOP_POLL_SECONDS = 0.5

# A transaction that notifies writes a commit record, and to wait until that is on disk is
# pointless. The setting ends with this statement: the session stays as it was.
SEND_SQL = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"

# libpq's parameters, in seconds, the last one in milliseconds. By them it is noticed when
# the server's host has vanished.
_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}


def notify(connection: Any, ready: Ready) -> None:
    """Ring on this connection or cursor, outside of any transaction."""
    payload = messages.dumps(ready, MAX_PAYLOAD_BYTES)
    connection.execute(SEND_SQL, [messages.CHANNEL, payload])


class Notify:
    """The doorbell by NOTIFY, on a connection that is none of the project's."""

    #: What wakes the workers, in words.
    name = "NOTIFY"

    def __init__(self, using: str) -> None:
        self.using = using
        self._sending: psycopg.Connection[Any] | None = None

    def send(self, ready: Ready) -> None:
        if self._sending is None:
            self._sending = connect(self.using)
        notify(self._sending, ready)

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        with contextlib.closing(connect(self.using)) as connection:
            # Messages would fill a pooler's session, which belongs to others next.
            if not poolers.is_behind(connection.cursor()):
                _listen(connection, wake, stop)
                return
        logger.log(
            logging.DEBUG if poolers.is_told_of(self.using) else logging.WARNING,
            "There is a pooler before the database %r: tasks start with the next look "
            "at the table",
            self.using,
        )
        stop.wait()

    def close(self) -> None:
        connection, self._sending = self._sending, None
        if connection is not None:
            connection.close()


def _listen(
    connection: psycopg.Connection[Any], wake: Wake, stop: threading.Event
) -> None:
    connection.execute(f'LISTEN "{messages.CHANNEL}"')
    # For tasks that were rung for before.
    wake(None)
    while not stop.is_set():
        for heard in connection.notifies(timeout=STOP_POLL_SECONDS):
            ready = messages.loads(heard.payload)
            if ready is None or ready:
                wake(ready)
            if stop.is_set():
                break


def connect(using: str, name: str = "cq doorbell") -> psycopg.Connection[Any]:
    """Return a connection to listen on, and to close; the server shows it as `name`."""
    # Not through Django: it might give the connection to a pool while it listens, would
    # keep each statement with DEBUG, and AUTOCOMMIT may be off.
    import psycopg

    parameters = _TIMEOUTS | connections[using].get_connection_params()
    parameters.setdefault("application_name", name)
    parameters.pop("cursor_factory", None)
    return psycopg.connect(**parameters, autocommit=True)
