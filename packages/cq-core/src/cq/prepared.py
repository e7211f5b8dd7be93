"""Runs cq's hottest statements as prepared ones, where the session is ours alone.

PostgreSQL takes longer to parse and plan them than to execute them: the table has many
columns and indexes. Only for statements that find their rows by the key: what is planned
once has to be right for a table that has grown since.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from . import poolers
from .statements import speaks_psycopg

#: Uses of a session from which on it pays: a session of one web request has few.
FROM = 5
#: Executions after which all is planned anew, by what the tables have become. Statistics
#: do that as well, but a table may grow by much before autovacuum comes to it.
RENEWED_AFTER = 500
#: Statements that a session keeps, the old plans among them.
KEPT = 16


class _Session:
    """What is known of one connection of the driver."""

    def __init__(self) -> None:
        self.uses = 0
        #: Whether nobody else gets this session in between; None: not asked yet.
        self.is_ours: bool | None = None


def cursor(connection: Any) -> Any:
    """Return a cursor of Django's that prepares what it executes, if it may.

    Elsewhere, behind a pooler, and on a session that is hardly used, it is one like any
    other.
    """
    raw = connection.connection
    if raw is None or connection.vendor != "postgresql":
        return connection.cursor()
    session: _Session | None = getattr(raw, "cq_session", None)
    if session is None:
        if not _can_prepare(connection):
            return connection.cursor()
        session = raw.cq_session = _Session()
    session.uses += 1
    if session.uses < FROM or session.is_ours is False:
        return connection.cursor()
    with connection.wrap_database_errors:
        if session.is_ours is None:
            session.is_ours = not poolers.is_behind(raw.cursor())
            raw.prepared_max = KEPT
            return connection.cursor()
        # As Django makes its own, in the debug log and with the wrappers.
        return connection._prepare_cursor(_cursor_class()(raw))


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
            text = f"{query} /* {session.uses // RENEWED_AFTER} */"
            self.connection.prepare_threshold = 0
            try:
                return super().execute(text, params, prepare=True)
            finally:
                self.connection.prepare_threshold = None
                self._query = Said(self.connection, query, params)  # type: ignore[assignment]

    return PreparingCursor
