"""The transaction around an atomic task, which may turn out to need none."""

from __future__ import annotations

from typing import Any

from django.db.transaction import Atomic

from . import internals, raw_begins

#: Of a session, in libpq's words: no transaction has begun; a query runs; the
#: transaction has failed and takes no more statements; the connection is broken.
NONE, ACTIVE, ABORTED, UNKNOWN = 0, 1, 3, 4


def transaction_status(raw: Any) -> int:
    """Return libpq's word for the state of a driver's connection to PostgreSQL."""
    try:
        return int(raw.pgconn.transaction_status)
    except AttributeError:  # psycopg 2; 3 has `info`, too, which makes an enum of it
        return int(raw.info.transaction_status)


def in_transaction(connection: Any) -> bool | None:
    """Tell whether a transaction is open, as the driver knows it: without a query.

    Django only knows what it has begun itself. None where the driver doesn't tell: of
    MySQL's, True is what the statements say that have passed.
    """
    raw = connection.connection
    if raw is None or connection.closed_in_transaction:
        return None
    if connection.vendor == "postgresql":
        return transaction_status(raw) != NONE
    if connection.vendor == "sqlite":
        return bool(raw.in_transaction)
    status = getattr(raw, "server_status", None)  # PyMySQL has it, mysqlclient not
    if status is None:
        return raw_begins.may_be_open(connection) or None
    return bool(status & 1)


_set = object.__setattr__


class BeginsOnUse:
    """What Django has for its connection until somebody uses it: then the driver's own.

    Each BEGIN and COMMIT of SQLite lets go of Python's lock. With several threads that
    costs more than all else about a task that asks the database nothing, and a deferred
    transaction is none before its first statement anyway. So whoever wants anything of
    this, Django or the task itself, has the transaction begin and gets it of the driver,
    whose connection stands in this one's place from then on.

    connection: Django's, which belongs to this thread.
    """

    __slots__ = ("_connection", "_mode", "_raw")

    _connection: Any
    _mode: str | None
    _raw: Any

    #: As far as anybody can tell.
    in_transaction = True

    def __init__(self, connection: Any) -> None:
        _set(self, "_connection", connection)
        _set(self, "_mode", connection.transaction_mode)
        _set(self, "_raw", connection.connection)

    def end(self) -> None:
        """Put the driver's connection back, on which nothing has begun."""
        self._connection.connection = self._raw

    # Asked by other threads, on which nothing may begin.

    @property
    def total_changes(self) -> int:
        changes: int = self._raw.total_changes
        return changes

    def interrupt(self) -> None:
        self._raw.interrupt()

    # All else. What follows `with` and `=` Python does not look up by `__getattr__`.

    def __getattr__(self, name: str) -> Any:
        return getattr(self._begun(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._begun(), name, value)

    def __enter__(self) -> Any:
        return self._begun().__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._begun().__exit__(*error)

    def _begun(self) -> Any:
        # Once: who has got hold of this may come again.
        if self._connection.connection is self:
            self._raw.execute(f"BEGIN {self._mode or 'DEFERRED'}")
            self._connection.connection = self._raw
        return self._raw


class LazyAtomic(Atomic):
    """``transaction.atomic()`` on this connection, which belongs to this thread.

    On PostgreSQL a transaction begins with its first statement, and so it does here on
    SQLite. Where the task makes none, what Django does to begin and commit costs a fourth
    of it or more, for nothing; this takes a short way then, which leaves the connection as
    Django would. Wherever there is more to it, it is Django's block.

    It looks before each statement whether the transaction is still open: psycopg begins
    another one after a COMMIT or ROLLBACK that the task has sent, and nobody would know.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection.alias, savepoint=True, durable=False)
        self._connection = connection
        #: The driver's connection, or what stands in for SQLite's, where this has begun
        #: the short way.
        self._raw: Any = None
        self._statements = 0
        #: SQLite's count of changed rows, which also knows what goes past Django.
        self._changes: int | None = None
        self._ended_inside = False

    def __enter__(self) -> None:
        if not self._begin():
            super().__enter__()
        if self._connection.vendor == "sqlite":
            self._changes = self._changes_of_sqlite()
        internals.watch_statements(self._connection, self._note)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        internals.stop_watching(self._connection, self._note)
        if kind is not None or not self._end():
            super().__exit__(kind, error, traceback)

    def is_untouched(self) -> bool:
        """Tell whether the database has been asked nothing inside."""
        if self._statements:
            return False
        if self._connection.vendor == "postgresql":
            return in_transaction(self._connection) is False
        return (
            in_transaction(self._connection) is True
            and self._changes is not None
            and self._changes == self._changes_of_sqlite()
        )

    def has_ended(self) -> bool:
        """Tell whether the transaction was committed or rolled back from inside."""
        if self._ended_inside:
            return True
        # SQLite's begins with the block, PostgreSQL's with the first statement.
        begun = self._statements or self._connection.vendor == "sqlite"
        return bool(begun and in_transaction(self._connection) is False)

    def _changes_of_sqlite(self) -> int | None:
        connection = self._connection
        if connection.closed_in_transaction:
            return None
        changes: int = connection.connection.total_changes
        return changes

    def _note(
        self, execute: Any, sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        if self._statements and in_transaction(self._connection) is False:
            self._ended_inside = True
        self._statements += 1
        return execute(sql, params, many, context)

    def _begin(self) -> bool:
        connection = self._connection
        raw = connection.connection
        if (
            raw is None
            or connection.in_atomic_block
            or not connection.autocommit
            # Django is to log it; or to look first whether the session is alive.
            or connection.queries_logged
            or (connection.health_check_enabled and not connection.health_check_done)
        ):
            return False
        if connection.vendor == "postgresql":
            try:
                raw.autocommit = False
            except Exception:
                # It fails for Django, too, who says so in its own words.
                return False
        elif _begins_deferred(connection):
            raw = connection.connection = BeginsOnUse(connection)
        else:
            return False
        connection.autocommit = False
        connection.commit_on_exit = True
        connection.needs_rollback = False
        connection.in_atomic_block = True
        connection.atomic_blocks.append(self)
        self._raw = raw
        return True

    def _end(self) -> bool:
        """End what has not begun; False: it has, or something hangs on its commit."""
        connection, raw = self._connection, self._raw
        if (
            raw is None
            or connection.connection is not raw
            or connection.needs_rollback
            or connection.closed_in_transaction
            or connection.run_on_commit
            or connection.savepoint_ids
        ):
            return False
        if connection.vendor == "sqlite":
            raw.end()
        elif transaction_status(raw) != NONE:
            return False
        else:
            try:
                raw.autocommit = True
            except Exception:
                return False
        connection.atomic_blocks.pop()
        connection.in_atomic_block = False
        connection.autocommit = True
        return True


def _begins_deferred(connection: Any) -> bool:
    """Tell whether SQLite is to take no lock yet, and takes a BEGIN at all."""
    return (
        connection.vendor == "sqlite"
        and connection.transaction_mode in (None, "DEFERRED")
        # Of raw SQL that was left open; Django says what is wrong.
        and not connection.connection.in_transaction
    )
