"""The transactions that raw SQL begins on MySQL and MariaDB, where mysqlclient tells of none.

Statements that begin or end one are noted as they pass; only where one may be open is the
database asked.
"""

from __future__ import annotations

import re
from typing import Any

from django.db.backends.signals import connection_created

from . import internals

_BEGINS = re.compile(
    r"\s*(?:(?:BEGIN|START)\b|(?:COMMIT|ROLLBACK)\b.*\bAND\s+CHAIN\b)", re.IGNORECASE
)
_ENDS = re.compile(r"\s*(?:COMMIT|ROLLBACK)\b(?!.*\bTO\b)", re.IGNORECASE)


def is_watched(connection: Any) -> bool:
    """Tell whether statements have to be noted: PyMySQL tells by itself."""
    return connection.vendor == "mysql" and not hasattr(
        connection.connection, "server_status"
    )


def may_be_open(connection: Any) -> bool:
    """Tell whether SQL has begun a transaction here, as far as its statements say."""
    raw = connection.connection
    if raw is None:
        return False
    # By SET autocommit = 0, which is the one thing that the driver knows.
    has_lost_autocommit = connection.autocommit and not raw.get_autocommit()
    return has_lost_autocommit or getattr(connection, "cq_has_begun", False)


def is_open(connection: Any) -> bool:
    """As `may_be_open`, and asks: on the connection's own thread, outside of blocks."""
    if not may_be_open(connection):
        return False
    if getattr(connection, "cq_has_begun", False) and connection.mysql_is_mariadb:
        # One that changes tables has ended it by itself.
        with connection.connection.cursor() as cursor:
            cursor.execute("SELECT @@in_transaction")
            connection.cq_has_begun = bool(cursor.fetchone()[0])
    return may_be_open(connection)


def forget(connection: Any) -> None:
    """Take note that what was open is rolled back."""
    connection.cq_has_begun = False


def _note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
    result = execute(sql, params, many, context)
    # Nearly all are SELECT and the like, and cost one comparison.
    if isinstance(sql, str) and sql[:1] in "BbSsCcRr \n\t" and sql[:6] != "SELECT":
        if _BEGINS.match(sql):
            context["connection"].cq_has_begun = True
        elif _ENDS.match(sql):
            context["connection"].cq_has_begun = False
    return result


def _watch(connection: Any, **kwargs: Any) -> None:
    if is_watched(connection):
        forget(connection)
        internals.stop_watching(connection, _note)
        internals.watch_statements(connection, _note)


connection_created.connect(_watch)
