"""The transactions of a task: how they are opened, and whether it left them as it found them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction

from . import error_codes, internals, raw_begins
from .error_codes import Meaning
from .lazy_atomic import ABORTED, LazyAtomic, in_transaction, transaction_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager


def aliases(using: str) -> list[str]:
    """Return the databases of an atomic task, the queue's first: it commits last."""
    if using == DEFAULT_DB_ALIAS:
        return [using]
    engine = settings.DATABASES.get(DEFAULT_DB_ALIAS, {}).get("ENGINE", "")
    dummy = engine in ("", "django.db.backends.dummy")
    return [using] if dummy else [using, DEFAULT_DB_ALIAS]


def task_transaction(
    connection: Any, write_lock: bool = False
) -> AbstractContextManager[None]:
    """Open the transactions of an atomic task, whose queue this connection is to.

    write_lock: whether SQLite takes its lock at once, see `immediate`.
    """
    if connection.vendor == "sqlite" and _has_to_say(connection, write_lock):
        return _on_sqlite(connection, write_lock)
    return _transaction(connection)


@contextlib.contextmanager
def _on_sqlite(connection: Any, write_lock: bool) -> Iterator[None]:
    with immediate(connection, write_lock), _transaction(connection):
        yield


def _transaction(connection: Any) -> AbstractContextManager[None]:
    using: str = connection.alias
    databases = aliases(using)
    if len(databases) > 1 or connection.vendor == "mysql":
        return _several(databases)
    return LazyAtomic(connection)


@contextlib.contextmanager
def _several(databases: list[str]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for alias in databases:
            if connections[alias].vendor == "mysql":
                stack.enter_context(transaction.atomic(using=alias))
                stack.enter_context(_unbroken(alias))
            else:
                stack.enter_context(LazyAtomic(connections[alias]))
        yield


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
        if error_codes.meaning(error) is Meaning.NO_SAVEPOINT and "SAVEPOINT" in str(
            error
        ):
            raise transaction.TransactionManagementError(
                "The task's transaction had ended before the task did: a deadlock was "
                "caught inside it, or COMMIT, ROLLBACK or BEGIN was sent, or a statement "
                "that changes tables, which commits. Let such errors pass; use atomic() "
                "for a part that may be undone, and atomic=False for a task that commits "
                "by itself or changes tables."
            ) from error
        raise


def immediate(connection: Any, immediate: bool) -> AbstractContextManager[None]:
    """Let SQLite take its write lock when the transaction begins, or not before a write.

    Whatever the settings say: with ``transaction_mode: IMMEDIATE``, which the site needs
    for transactions that read before they write, a task that computes for a minute would
    keep the site from writing for as long.
    """
    if connection.vendor != "sqlite" or not _has_to_say(connection, immediate):
        return contextlib.nullcontext()
    return _begin_with(connection, "IMMEDIATE" if immediate else "DEFERRED")


def _has_to_say(connection: Any, immediate: bool) -> bool:
    """Tell whether SQLite would else begin in another way."""
    # It is known once the connection is open; until then the settings say it.
    mode = connection.settings_dict["OPTIONS"].get("transaction_mode")
    return immediate or mode is not None


@contextlib.contextmanager
def at_once(using: str) -> Iterator[None]:
    """Open a block that is one transaction, with SQLite's write lock from its beginning.

    For what reads before it writes: SQLite would refuse to write then, if somebody else
    has written meanwhile.
    """
    with immediate(connections[using], True), transaction.atomic(using=using):
        yield


@contextlib.contextmanager
def _begin_with(connection: Any, mode: str) -> Iterator[None]:
    connection.ensure_connection()  # which is what makes it know its mode
    before = internals.set_transaction_mode(connection, mode)
    try:
        yield
    finally:
        internals.set_transaction_mode(connection, before)


def is_untouched(connection: Any) -> bool:
    """Tell whether a task's block is the only one, and nothing has to be done at its end.

    It has asked the database nothing, and hung nothing on its commit.
    """
    block = internals.innermost_block(connection)
    return isinstance(block, LazyAtomic) and block.is_untouched()


def can_write_beside(connection: Any, atomic: bool) -> bool:
    """Tell whether another connection can write while a task runs on this one."""
    if connection.vendor != "sqlite":
        return True
    return not atomic and not connection.is_in_memory_db()


def check_can_commit(using: str) -> None:
    """Raise TransactionManagementError when an open transaction cannot commit."""
    for alias in aliases(using):
        connection = connections[alias]
        if any(block.has_ended() for block in _task_blocks(connection)):
            raise transaction.TransactionManagementError(
                f"The task's transaction on {alias!r} had ended before the task did: "
                "COMMIT or ROLLBACK was sent inside it. What came before a COMMIT is "
                "kept, the rest is undone. Use atomic() for a part that may be undone, "
                "and atomic=False for a task that commits by itself."
            )
        if connection.in_atomic_block and (
            connection.needs_rollback or is_aborted(connection)
        ):
            raise transaction.TransactionManagementError(
                "The task's transaction is marked for rollback: a database error was "
                "caught inside it, set_rollback(True) was called, or its connection "
                "was closed. Catch such errors around an inner atomic()."
            )


def _task_blocks(connection: Any) -> Iterator[LazyAtomic]:
    blocks = internals.blocks(connection)
    return (block for block in blocks if isinstance(block, LazyAtomic))


def is_aborted(connection: Any) -> bool:
    """Tell whether PostgreSQL takes no more statements in the open transaction."""
    if connection.vendor != "postgresql" or connection.connection is None:
        return False
    return transaction_status(connection.connection) == ABORTED


def depths(opened: Iterable[Any]) -> dict[str, int]:
    """Return how many atomic blocks are open on these connections, by alias.

    -1 where a transaction is open without one: it belongs to who called.
    """
    found: dict[str, int] = {}
    for connection in opened:
        depth = internals.depth(connection)
        found[connection.alias] = depth or -_is_open_without_block(connection)
    return found


def _is_open_without_block(connection: Any) -> bool:
    if connection.connection is None or connection.in_atomic_block:
        return False
    if not connection.autocommit and connection.settings_dict["AUTOCOMMIT"]:
        return True
    if in_transaction(connection) is not True:
        return False
    return not raw_begins.is_watched(connection) or raw_begins.is_open(connection)


def roll_back_left_open(opened: Iterable[Any], before: dict[str, int]) -> list[str]:
    """Roll back what was opened since `before` and not ended; the aliases of it."""
    left: list[str] = []
    for connection in opened:
        depth = before.get(connection.alias, 0)
        if depth < 0:
            continue
        if internals.depth(connection) > depth:
            left.append(connection.alias)
            while internals.depth(connection) > depth:
                internals.roll_back_innermost(connection)
        if connection.in_atomic_block or connection.connection is None:
            continue
        if connection.settings_dict["AUTOCOMMIT"] and _is_open_without_block(
            connection
        ):
            # By set_autocommit(False), or by a BEGIN of the task's own.
            left.append(connection.alias)
            connection.rollback()
            connection.set_autocommit(True)
            raw_begins.forget(connection)
    return left
