"""The time limits of a session: of a wait for a lock, of a statement, and of the session.

The former two are cq's own. The latter are the server's: a transaction that is ended so takes
an atomic task with it, and its connection. On SQLite there is one writer at a time, and
its own timeout in the project's settings.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from django.db import Error, OperationalError, connections, transaction

from . import error_codes, poolers
from .error_codes import Meaning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

IDLE = "idle_in_transaction_session_timeout"
TRANSACTION = "transaction_timeout"
STATEMENT = "statement_timeout"

#: Those that end the session, by what the error then means.
_ENDED_BY = {
    Meaning.IDLE_IN_TRANSACTION: IDLE,
    Meaning.TRANSACTION_TIMEOUT: TRANSACTION,
}
_MEANING = {
    IDLE: "how long a transaction may be without a statement",
    TRANSACTION: "how long a transaction may be open",
}


# --- of a wait for a lock -------------------------------------------------------------


def limited(connection: Any, seconds: float | None) -> AbstractContextManager[None]:
    """Let the statements of a block wait that long at most; None: as long as they do.

    seconds: on MySQL whole ones, one at least. What has waited for too long raises an
    OperationalError that :func:`cq.db.error_codes.is_lock_timeout` knows. On PostgreSQL
    the block is a transaction, or a savepoint of the one that is open, which is usable
    afterwards; MySQL undoes the one statement, and no more.
    """
    if seconds is not None and connection.vendor == "mysql":
        return _on_mysql(connection, seconds)
    if seconds is not None and connection.vendor == "postgresql":
        return _on_postgresql(connection, seconds)
    return contextlib.nullcontext()


@contextlib.contextmanager
def _on_mysql(connection: Any, seconds: float) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_lock_wait_timeout")
        before = cursor.fetchone()[0]
        sql = "SET innodb_lock_wait_timeout = %s"
        cursor.execute(sql, [max(1, round(seconds))])
        try:
            yield
        finally:
            cursor.execute(sql, [before])


@contextlib.contextmanager
def _on_postgresql(connection: Any, seconds: float) -> Iterator[None]:
    inside = connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            if inside:
                cursor.execute("SHOW lock_timeout")
                before = cursor.fetchone()[0]
            cursor.execute(f"SET LOCAL lock_timeout = {max(1, round(seconds * 1000))}")
        yield
        if inside:
            # Else the end of the transaction does it; after an error, the savepoint.
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


def set_for_session(connection: Any, seconds: float) -> None:
    """Let all statements of this session wait that long at most.

    seconds: on MySQL whole ones. Raises DatabaseError.
    """
    if connection.vendor == "postgresql":
        milliseconds = max(1, round(seconds * 1000))
        poolers.set_for_session(connection, "lock_timeout", f"{milliseconds}ms")
    elif connection.vendor == "mysql":
        with connection.cursor() as cursor:
            # The latter for who changes the table.
            cursor.execute(
                "SET innodb_lock_wait_timeout = %s, lock_wait_timeout = %s",
                [max(1, round(seconds))] * 2,
            )


# --- of a statement that can do without an answer --------------------------------------

#: Steps of SQLite's machine between two looks at the clock.
STEPS = 10_000


class TookTooLong(Exception):
    """The statements of a block took longer than they may."""


@contextlib.contextmanager
def at_most(connection: Any, seconds: float) -> Iterator[None]:
    """Let no statement of a block take longer; raises TookTooLong.

    On SQLite all of them together. The transaction that is open is usable afterwards.
    """
    limit = _LIMITS.get(connection.vendor, _unbounded)
    try:
        with limit(connection, seconds):
            yield
    except OperationalError as error:
        if not error_codes.is_cancelled(error):
            raise
        raise TookTooLong(f"it was given {seconds:g} s") from error


def _unbounded(connection: Any, seconds: float) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@contextlib.contextmanager
def _bounded_on_postgresql(connection: Any, seconds: float) -> Iterator[None]:
    inside = connection.in_atomic_block
    # For this transaction alone: behind a pooler the session is others' next.
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('statement_timeout'), "
                "set_config('statement_timeout', %s, true)",
                [f"{max(1, round(seconds * 1000))}ms"],
            )
            before = cursor.fetchone()[0]
        yield
        if inside:
            # Else its end does that; after an error, the savepoint.
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [before]
                )


@contextlib.contextmanager
def _bounded_on_mysql(connection: Any, seconds: float) -> Iterator[None]:
    name, value = "max_statement_time", seconds
    if not connection.mysql_is_mariadb:
        name, value = "MAX_EXECUTION_TIME", max(1, round(seconds * 1000))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT @@SESSION.{name}")
        before = cursor.fetchone()[0]
        cursor.execute(f"SET SESSION {name} = %s", [value])
        try:
            yield
        finally:
            cursor.execute(f"SET SESSION {name} = %s", [before])


@contextlib.contextmanager
def _bounded_on_sqlite(connection: Any, seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    end = time.monotonic() + seconds
    raw = connection.connection
    raw.set_progress_handler(lambda: time.monotonic() > end, STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


_LIMITS = {
    "postgresql": _bounded_on_postgresql,
    "mysql": _bounded_on_mysql,
    "sqlite": _bounded_on_sqlite,
}


# --- of the server --------------------------------------------------------------------


def configured(cursor: Any) -> dict[str, float]:
    """Return the limits that the sessions of this database have, in seconds."""
    cursor.execute(
        "SELECT name, setting FROM pg_settings WHERE name IN (%s, %s, %s)",
        [IDLE, STATEMENT, TRANSACTION],
    )
    limits = {name: int(setting) / 1000 for name, setting in cursor.fetchall()}
    return {name: limit for name, limit in limits.items() if limit > 0}


def advice(using: str, error: BaseException) -> str:
    """Say what to do about a limit that has ended a task's session; "" of others."""
    found = error_codes.meaning(error)
    name = _ENDED_BY.get(found) if found else None
    if name is None:
        return ""
    connection = connections[using]
    value = ""
    # Best effort: what went wrong is to be told even where this cannot be asked.
    if not connection.in_atomic_block:
        with contextlib.suppress(Error), connection.cursor() as cursor:
            limit = configured(cursor).get(name)
            value = f", {limit:g} s here" if limit else ""
    return (
        f"PostgreSQL ended the session by its {name}: {_MEANING[name]}{value}. Nothing "
        "of what the atomic task wrote is kept. Wait for others outside of it, or with "
        f"atomic=False, or raise the limit for the workers' role: ALTER ROLE ... SET {name}."
    )
