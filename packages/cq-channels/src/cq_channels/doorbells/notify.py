"""PostgreSQL's own NOTIFY: no other server is needed.

It is sent by itself, after the commit. Within the transaction that queued the tasks it
would take a lock over the whole database until that has committed, and so cost all
others their group commit.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq import poolers
from cq_channels import messages

if TYPE_CHECKING:
    import threading

    import psycopg

    from cq.doorbell import Ready

    from .protocol import Wake

logger = logging.getLogger("cq.doorbell")

#: PostgreSQL takes payloads shorter than 8000 bytes.
LONGEST_PAYLOAD = 7999
#: Seconds between two looks at whether to stop.
STOP_LOOK = 0.5

# A transaction that notifies writes a commit record. To wait for the disk is pointless,
# and as a parameter of this one statement it leaves the session as it was.
SEND = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"

# libpq's parameters: seconds, but for the last. A host that vanished is noticed.
_PATIENCE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}


def notify(connection: Any, ready: Ready) -> None:
    """Ring on this connection or cursor, outside of any transaction."""
    payload = messages.dumps(ready, LONGEST_PAYLOAD)
    connection.execute(SEND, [messages.CHANNEL, payload])


class Notify:
    """Rings by NOTIFY, on a connection that is none of the site's."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._sending: psycopg.Connection[Any] | None = None

    def send(self, ready: Ready) -> None:
        if self._sending is None:
            self._sending = connect(self.using)
        notify(self._sending, ready)

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        with contextlib.closing(connect(self.using)) as connection:
            # To listen in a session of a pooler would be to fill it for others.
            if not poolers.is_behind(connection.cursor()):
                _listen(connection, wake, stop)
                return
        logger.log(
            logging.INFO if poolers.is_told_of(self.using) else logging.WARNING,
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
    # For what rang before.
    wake(None)
    while not stop.is_set():
        for heard in connection.notifies(timeout=STOP_LOOK):
            ready = messages.loads(heard.payload)
            if ready is None or ready:
                wake(ready)
            if stop.is_set():
                break


def connect(using: str, name: str = "cq doorbell") -> psycopg.Connection[Any]:
    """Return a connection to listen on, and to close; `name` is what the server shows."""
    # Not through Django: a pool would get it back while it listens, a wrapper with
    # DEBUG would keep each statement, and AUTOCOMMIT may be off.
    import psycopg

    parameters = _PATIENCE | connections[using].get_connection_params()
    parameters.setdefault("application_name", name)
    parameters.pop("cursor_factory", None)
    return psycopg.connect(**parameters, autocommit=True)
