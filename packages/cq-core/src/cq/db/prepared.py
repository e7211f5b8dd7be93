"""Prepared statements, for cq's hottest ones, where the session is ours alone.

PostgreSQL takes longer to parse and plan them than to execute them: the table has many
columns and indexes. Only for statements that find their rows by the key: what is planned
once has to be right for a table that has grown since. Of a table that it knows to be small
PostgreSQL would rather read all, so a statement that takes long has all planned anew: the
first executions of each are planned by what the table is then.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from . import internals, poolers
from .statements import speaks_psycopg

#: Uses of a session from which on it pays: a session of one web request has few.
PREPARE_FROM_USE = 5
#: Executions after which all is planned anew, by what the tables have become. Statistics
#: do that as well, but a table may grow by much before autovacuum comes to it.
RENEWED_AFTER = 500
#: Seconds after which all is planned anew, however few were executed.
RENEWED_AFTER_SECONDS = 10.0
#: Seconds from which on a statement by a key is slow.
SLOW_SECONDS = 0.005
#: What is slow when it has just been planned is so for another reason, such as a database
#: that is far away. Then only what takes so many times as long counts.
SLOWER = 4
#: Statements that a session keeps, the old plans among them.
MAX_PREPARED = 16


class _Session:
    """What is known of one connection of the driver."""

    def __init__(self) -> None:
        self.uses = 0
        #: Whether nobody else gets this session in between; None: not asked yet.
        self.is_ours: bool | None = None
        #: How often all was planned.
        self.plans = 0
        self._last_use = 0
        self._until = 0.0
        self._slow = SLOW_SECONDS
        self._was_slow = False

    def begin(self) -> float:
        """Return the moment at which a statement begins; let it be planned anew if due."""
        now = time.monotonic()
        if self.uses >= self._last_use or now >= self._until:
            if now >= self._until:
                self._slow = SLOW_SECONDS
            self._renew(now)
        return now

    def end(self, began: float) -> None:
        """Take note of how long a statement took."""
        seconds = time.monotonic() - began
        if seconds < self._slow:
            self._was_slow = False
        elif self._was_slow:
            self._was_slow = False
            self._slow = SLOWER * seconds
        else:
            self._renew(began)
            self._was_slow = True

    def _renew(self, now: float) -> None:
        self.plans += 1
        self._last_use = self.uses + RENEWED_AFTER
        self._until = now + RENEWED_AFTER_SECONDS


def cursor(connection: Any) -> Any:
    """Return a cursor of Django's that prepares what it executes, if it may.

    Elsewhere, behind a pooler, and on a session that is hardly used, it is one like any
    other.
    """
    if connection.connection is None or connection.vendor != "postgresql":
        return connection.cursor()
    session: _Session | None = getattr(connection.connection, "cq_session", None)
    # Not before it was asked for anything: what stood in for it is gone by now.
    raw = connection.connection
    if session is None:
        if not _can_prepare(connection):
            return connection.cursor()
        session = raw.cq_session = _Session()
    session.uses += 1
    if session.uses < PREPARE_FROM_USE or session.is_ours is False:
        return connection.cursor()
    with connection.wrap_database_errors:
        if session.is_ours is None:
            session.is_ours = not poolers.is_behind(raw.cursor())
            raw.prepared_max = MAX_PREPARED
            return connection.cursor()
        # As Django makes its own, in the debug log and with the wrappers.
        return internals.cursor_of(connection, _cursor_class()(raw))


def _can_prepare(connection: Any) -> bool:
    return (
        speaks_psycopg(connection)
        and not poolers.is_told_of(connection.alias)
        # Else it is the project that prepares, and the limits are its own.
        and connection.connection.prepare_threshold is None
    )


@cache
def _cursor_class() -> Any:
    import psycopg

    class Said:
        """A statement as Django's debug log asks the driver for it."""

        def __init__(self, connection: Any, query: str, params: Any) -> None:
            self.connection, self.text, self.params = connection, query, params

        @property
        def query(self) -> bytes:
            cursor = psycopg.ClientCursor(self.connection)
            return cursor.mogrify(self.text, self.params).encode()

    class PreparingCursor(psycopg.Cursor[Any]):
        """Prepares at once, on a connection that prepares nothing by itself."""

        def execute(  # type: ignore[override]
            self, query: str, params: Any = None
        ) -> PreparingCursor:
            session: _Session = self.connection.cq_session  # type: ignore[attr-defined]
            began = session.begin()
            text = f"{query} /* {session.plans} */"
            self.connection.prepare_threshold = 0
            try:
                return super().execute(text, params, prepare=True)
            finally:
                session.end(began)
                self.connection.prepare_threshold = None
                self._query = Said(self.connection, query, params)  # type: ignore[assignment]

    return PreparingCursor
