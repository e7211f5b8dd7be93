"""What a database's error means: every code that cq acts on, in one table.

PostgreSQL's are the SQLSTATE of the driver's error, MySQL's the number that is its first
argument, SQLite's the `sqlite_errorcode` of the driver's error.
"""

from __future__ import annotations

import sqlite3
from enum import Enum

from django.db import InterfaceError, OperationalError


class Meaning(Enum):
    """What has happened, whatever the database."""

    #: A deadlock, or a transaction that cannot be put in an order with others: it was
    #: rolled back, and nothing is wrong with it.
    CONFLICT = "conflict"
    #: A lock was waited for for as long as one is.
    LOCK_TIMEOUT = "lock timeout"
    #: An administrator, or an orderly restart, has ended the session. One that ends
    #: because another has crashed has 57P02, and the one that crashed has none.
    SHUTDOWN = "shutdown"
    #: The server has ended the session by a limit of its own.
    IDLE_IN_TRANSACTION = "idle in transaction"
    TRANSACTION_TIMEOUT = "transaction timeout"
    #: A savepoint is gone: the transaction that it was in has ended.
    NO_SAVEPOINT = "no savepoint"
    #: A statement took longer than it may, or somebody has cancelled it.
    CANCELLED = "cancelled"
    #: A row with this key is there already.
    DUPLICATE = "duplicate"
    #: A table is not there.
    NO_TABLE = "no table"
    #: A table has no such column.
    NO_COLUMN = "no column"


_SQLSTATES = {
    "42P01": Meaning.NO_TABLE,
    "42703": Meaning.NO_COLUMN,
    "40001": Meaning.CONFLICT,  # serialization failure
    "40P01": Meaning.CONFLICT,  # deadlock detected
    "55P03": Meaning.LOCK_TIMEOUT,
    "57P01": Meaning.SHUTDOWN,
    "57014": Meaning.CANCELLED,
    "25P03": Meaning.IDLE_IN_TRANSACTION,
    "25P04": Meaning.TRANSACTION_TIMEOUT,
}
_MYSQL = {
    1213: Meaning.CONFLICT,  # deadlock
    1467: Meaning.CONFLICT,  # the same, of the lock behind AUTO_INCREMENT
    1205: Meaning.LOCK_TIMEOUT,
    1305: Meaning.NO_SAVEPOINT,
    1062: Meaning.DUPLICATE,
    1146: Meaning.NO_TABLE,
    1054: Meaning.NO_COLUMN,
    1969: Meaning.CANCELLED,  # MariaDB
    3024: Meaning.CANCELLED,  # MySQL
}
# Somebody has written since the transaction's first look, or is at it: once it has
# looked, SQLite does not wait for the lock.
_SQLITE = {
    sqlite3.SQLITE_BUSY: Meaning.CONFLICT,
    sqlite3.SQLITE_BUSY_SNAPSHOT: Meaning.CONFLICT,
    sqlite3.SQLITE_INTERRUPT: Meaning.CANCELLED,
}


def meaning(error: BaseException) -> Meaning | None:
    """Return what an error of Django's or of a driver's means, if cq acts on it."""
    if (number := next(iter(error.args), None)) in _MYSQL and type(number) is int:
        return _MYSQL[number]
    for one in (error, error.__cause__):
        state = getattr(one, "sqlstate", None)
        if state in _SQLSTATES:
            return _SQLSTATES[state]
        if isinstance(one, sqlite3.Error):
            if found := _without_code(str(one)):
                return found
            return _SQLITE.get(getattr(one, "sqlite_errorcode", 0))
    return None


def _without_code(text: str) -> Meaning | None:
    """Return what an error of SQLite's means by its text: these have one code for all."""
    if text.startswith("no such table"):
        return Meaning.NO_TABLE
    if text.startswith("no such column") or " has no column named " in text:
        return Meaning.NO_COLUMN
    return None


def is_conflict(error: BaseException) -> bool:
    """Tell whether a deadlock or a serialization failure has ended a transaction.

    On MySQL also whether a lock was not to be had within its own patience.
    """
    if not isinstance(error, OperationalError) or is_snapshot_conflict(error):
        return False
    found = meaning(error)
    waited = found is Meaning.LOCK_TIMEOUT and next(iter(error.args), None) in _MYSQL
    return found is Meaning.CONFLICT or waited


def is_snapshot_conflict(error: BaseException) -> bool:
    """Tell whether SQLite refused a write to a transaction that had read before."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and meaning(cause) is Meaning.CONFLICT


def is_lock_timeout(error: BaseException) -> bool:
    """Tell whether a statement has waited for a lock for too long."""
    return meaning(error) is Meaning.LOCK_TIMEOUT


def is_cancelled(error: BaseException) -> bool:
    """Tell whether a statement was ended by a limit of time, or by somebody."""
    return meaning(error) is Meaning.CANCELLED


def was_shutdown(error: BaseException | None) -> bool:
    """Tell whether all this came of PostgreSQL being shut down in an orderly way."""
    while error is not None:
        if meaning(error) is Meaning.SHUTDOWN:
            return True
        error = error.__cause__ or error.__context__
    return False


def is_out_of_reach(error: BaseException) -> bool:
    """Tell whether an error is of the kind that an outage gives."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    # SQLite says of a table that is missing what it says in an outage, MySQL of a column.
    return meaning(error) not in (Meaning.NO_TABLE, Meaning.NO_COLUMN)
