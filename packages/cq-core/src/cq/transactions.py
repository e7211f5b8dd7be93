"""The transactions that a task runs in, and whether it left them as it found them."""

from __future__ import annotations

import contextlib
import select
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction

from .blocks import ABORTED, NONE, TaskBlock, transaction_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager


def aliases(using: str) -> list[str]:
    """Return the databases of an atomic task, the queue's first: it commits last."""
    if using == DEFAULT_DB_ALIAS:
        return [using]
    engine = settings.DATABASES.get(DEFAULT_DB_ALIAS, {}).get("ENGINE", "")
    dummy = engine in ("", "django.db.backends.dummy")
    return [using] if dummy else [using, DEFAULT_DB_ALIAS]


def together(connection: Any) -> AbstractContextManager[None]:
    """Open the transactions of an atomic task, whose queue this connection is to."""
    using: str = connection.alias
    databases = aliases(using)
    if len(databases) > 1 or connection.vendor == "mysql":
        return _several(databases)
    return TaskBlock(connection)


@contextlib.contextmanager
def _several(databases: list[str]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for alias in databases:
            stack.enter_context(transaction.atomic(using=alias))
            if connections[alias].vendor == "mysql":
                stack.enter_context(_unbroken(alias))
        yield


_DOES_NOT_EXIST = 1305


@contextlib.contextmanager
def _unbroken(alias: str) -> Iterator[None]:
    """Raise TransactionManagementError when the transaction has ended in the middle.

    On MySQL a deadlock ends it, and what changes a table; who goes on after that is in
    another, without noticing. The savepoint is gone then.
    """
    try:
        with transaction.atomic(using=alias):
            yield
    except OperationalError as error:
        if error.args[0] == _DOES_NOT_EXIST and "SAVEPOINT" in str(error):
            raise transaction.TransactionManagementError(
                "The task's transaction had ended before the task did: a deadlock was "
                "caught inside it, or a statement committed it, as those that change "
                "tables do. Let such errors pass; change tables outside atomic tasks."
            ) from error
        raise


def begin(connection: Any, immediate: bool) -> AbstractContextManager[None]:
    """Let SQLite take its write lock when the transaction begins, if asked to."""
    if not immediate or connection.vendor != "sqlite":
        return contextlib.nullcontext()
    return _immediate(connection)


@contextlib.contextmanager
def _immediate(connection: Any) -> Iterator[None]:
    connection.ensure_connection()  # which is what makes it know its mode
    before = connection.transaction_mode
    connection.transaction_mode = "IMMEDIATE"
    try:
        yield
    finally:
        connection.transaction_mode = before


class _Statements:
    """Counts what is executed on a connection, as an execute wrapper of Django's."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(
        self, execute: Any, sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        self.count += 1
        return execute(sql, params, many, context)


def activity(connection: Any) -> Any:
    """Return what differs later if the database has been asked anything in between.

    None where it cannot be told: a transaction has begun, SQLite is not open, or it is
    MySQL.
    """
    if connection.vendor == "postgresql":
        # A transaction begins with its first statement.
        raw = connection.connection
        return 0 if raw is None or transaction_status(raw) == NONE else None
    if connection.vendor != "sqlite" or connection.connection is None:
        return None
    wrappers = connection.execute_wrappers
    counter = next((w for w in wrappers if isinstance(w, _Statements)), None)
    if counter is None:
        counter = _Statements()
        # In front: who has one around this very call takes the last off again.
        wrappers.insert(0, counter)
    # The latter as well, for what goes by Django.
    return counter.count, connection.connection.total_changes


def can_write_beside(connection: Any, atomic: bool) -> bool:
    """Tell whether another connection can write while a task runs on this one."""
    if connection.vendor != "sqlite":
        return True
    return not atomic and not connection.is_in_memory_db()


#: Somebody has written since the transaction's first look, or is at it: once it has
#: looked, SQLite does not wait for the lock.
_CONFLICTS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_SNAPSHOT}


def is_snapshot_conflict(error: OperationalError) -> bool:
    cause = error.__cause__
    return (
        isinstance(cause, sqlite3.Error)
        and getattr(cause, "sqlite_errorcode", None) in _CONFLICTS
    )


def check_sound(using: str) -> None:
    """Raise TransactionManagementError when an open transaction cannot commit."""
    for alias in aliases(using):
        connection = connections[alias]
        if connection.in_atomic_block and (
            connection.needs_rollback or is_aborted(connection)
        ):
            raise transaction.TransactionManagementError(
                "The task's transaction is marked for rollback: a database error was "
                "caught inside it, set_rollback(True) was called, or its connection "
                "was closed. Catch such errors around an inner atomic()."
            )


def is_aborted(connection: Any) -> bool:
    """Tell whether PostgreSQL takes no more statements in the open transaction."""
    if connection.vendor != "postgresql" or connection.connection is None:
        return False
    return transaction_status(connection.connection) == ABORTED


def opened(connection: Any) -> Sequence[Any]:
    """Return this thread's connections, of which this is one."""
    if len(connections.settings) == 1:
        # To look for others takes a tenth of the time of a short task.
        return [connection]
    return connections.all(initialized_only=True)


def depths(opened: Iterable[Any]) -> dict[str, int]:
    """Return how many atomic blocks are open on these connections, by alias."""
    return {connection.alias: len(connection.atomic_blocks) for connection in opened}


def unwind(opened: Iterable[Any], before: dict[str, int]) -> list[str]:
    """Roll back what was opened since `before` and not ended; the aliases of it."""
    left: list[str] = []
    for connection in opened:
        depth = before.get(connection.alias, 0)
        if len(connection.atomic_blocks) > depth:
            left.append(connection.alias)
        while len(connection.atomic_blocks) > depth:
            error = transaction.TransactionManagementError("left open")
            connection.atomic_blocks[-1].__exit__(type(error), error, None)
        if connection.in_atomic_block or connection.connection is None:
            continue
        if connection.settings_dict["AUTOCOMMIT"] and not connection.get_autocommit():
            left.append(connection.alias)
            connection.rollback()
            connection.set_autocommit(True)
    return left


#: Seconds from a thread's last look at its connections to the next.
IDLE = 0.05
_last = threading.local()


def drop_broken_when_idle() -> None:
    """As `drop_broken`, unless this thread has just done so: for before each task."""
    now = time.monotonic()
    if now - getattr(_last, "look", 0.0) > IDLE:
        _last.look = now
        drop_broken()


def drop_broken() -> None:
    """Close those of this thread's connections that the next task would fail on.

    A server that was restarted has ended them while they were idle, or they had an
    error that nobody looked into. One in a transaction is left to who opened it.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None or connection.in_atomic_block:
            continue
        if connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()
        elif _has_hung_up(connection):
            connection.close()


def _has_hung_up(connection: Any) -> bool:
    # An idle session has nothing to say but good-bye. The socket knows, without a query.
    if connection.vendor == "sqlite" or not hasattr(select, "poll"):
        return False
    try:
        descriptor = connection.connection.fileno()
    except AttributeError:  # a driver that doesn't tell
        return False
    except (connection.Database.Error, OSError):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
