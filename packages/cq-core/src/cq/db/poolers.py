"""A pooler between us and PostgreSQL, which gives our session to others in between.

What outlasts a transaction is not ours there: no lock, no LISTEN, and a SET would be
for whoever comes next.
"""

from __future__ import annotations

from typing import Any

from django.db import connections

#: Django's setting for a pooler between transactions.
SETTING = "DISABLE_SERVER_SIDE_CURSORS"


def is_told_of(using: str) -> bool:
    """Whether the settings of this database tell of a pooler."""
    return bool(connections[using].settings_dict.get(SETTING, False))


def set_for_session(connection: Any, name: str, value: str) -> None:
    """Set a parameter of PostgreSQL for this session, unless it is a pooler's."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(%s, %s, false) WHERE pg_backend_pid() = %s",
            [name, value, connection.connection.info.backend_pid],
        )


def is_behind(cursor: Any) -> bool:
    """Ask PostgreSQL whether there is a pooler, of whatever mode, before it.

    cursor: of psycopg, or Django's around it.
    """
    # A pooler makes up the process id that it greets its clients with, by which they
    # cancel queries; who answers is one of its own sessions.
    cursor.execute("SELECT pg_backend_pid()")
    (pid,) = cursor.fetchone()
    return bool(pid != cursor.connection.info.backend_pid)
