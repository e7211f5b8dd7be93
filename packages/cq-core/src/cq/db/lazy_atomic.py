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

    Each BEGIN and COMMIT of SQLite lets go of Python's lock, which with several threads
    costs more than all else about a task that asks the database nothing; psycopg takes a
    tenth of it to switch its autocommit off and on. And neither has a transaction before
    its first statement anyway. So whoever wants anything of this, Django or the task
    itself, has the transaction begin and gets it of the driver, whose connection stands in
    this one's place from then on.

    connection: Django's, which belongs to this thread.
    """

    __slots__ = ("_connection", "_raw")

    _connection: Any
    _raw: Any

    #: What the driver's connection tells, on any thread: nothing begins by that.
    told_of: frozenset[str] = frozenset()

    def __init__(self, connection: Any) -> None:
        _set(self, "_connection", connection)
        _set(self, "_raw", connection.connection)

    def end(self) -> None:
        """Put the driver's connection back, on which nothing has begun."""
        self._connection.connection = self._raw

    def begin(self) -> None:
        """Have the driver's connection begin with its next statement, or now."""
        raise NotImplementedError

    def use(self) -> None:
        """Have the transaction begin, and the driver's connection in this one's place."""
        self._begun()

    def __getattr__(self, name: str) -> Any:
        raw = self._raw if name in self.told_of else self._begun()
        return getattr(raw, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._begun(), name, value)

    # Python does not look for these by `__getattr__`.

    def __enter__(self) -> Any:
        return self._begun().__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._begun().__exit__(*error)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._raw)

    @property
    def _has_begun(self) -> bool:
        return self._connection.connection is not self

    def _begun(self) -> Any:
        # Once: who has got hold of this may come again.
        if not self._has_begun:
            self.begin()
            self._connection.connection = self._raw
        return self._raw


class OnPostgreSQL(BeginsOnUse):
    """The one for psycopg's connections."""

    __slots__ = ()

    told_of = frozenset({"closed", "info", "pgconn"})

    @property
    def autocommit(self) -> bool:
        return self._has_begun and bool(self._raw.autocommit)

    def begin(self) -> None:
        self._raw.autocommit = False


class OnSQLite(BeginsOnUse):
    """The one for SQLite's connections."""

    __slots__ = ("_mode",)

    _mode: str | None

    told_of = frozenset({"interrupt", "total_changes"})

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        _set(self, "_mode", connection.transaction_mode)

    @property
    def in_transaction(self) -> bool:
        # As far as anybody can tell.
        return not self._has_begun or bool(self._raw.in_transaction)

    def begin(self) -> None:
        self._raw.execute(f"BEGIN {self._mode or 'DEFERRED'}")


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
        #: What stands in for the driver's connection, where this has begun the short way.
        self._stand_in: BeginsOnUse | None = None
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
        """Tell whether nothing has to be done at the end of this block, the only one.

        The database has been asked nothing inside, and nothing hangs on the commit.
        """
        if self._has_not_begun():
            return True
        connection = self._connection
        if (
            self._statements
            or connection.needs_rollback
            or internals.has_commit_hooks(connection)
            or internals.depth(connection) > 1
        ):
            return False
        if connection.vendor == "postgresql":
            return in_transaction(connection) is False
        return (
            in_transaction(connection) is True
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
        stand_in = self._stand_in
        if stand_in is not None and self._connection.connection is stand_in:
            # A cursor that was made before the task has the driver's connection itself.
            stand_in.use()
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
        if connection.vendor == "postgresql" and not raw.closed:
            self._stand_in = OnPostgreSQL(connection)
        elif connection.vendor == "sqlite" and _begins_deferred(connection):
            self._stand_in = OnSQLite(connection)
        else:
            # What is wrong Django says in its own words.
            return False
        connection.connection = self._stand_in
        connection.autocommit = False
        connection.commit_on_exit = True
        connection.needs_rollback = False
        connection.in_atomic_block = True
        connection.atomic_blocks.append(self)
        return True

    def _end(self) -> bool:
        """End what has not begun; False: it has, or something hangs on its commit."""
        if not self._has_not_begun():
            return False
        connection = self._connection
        assert self._stand_in is not None
        self._stand_in.end()
        connection.atomic_blocks.pop()
        connection.in_atomic_block = False
        connection.autocommit = True
        return True

    def _has_not_begun(self) -> bool:
        connection, stand_in = self._connection, self._stand_in
        return not (
            stand_in is None
            or connection.connection is not stand_in
            or connection.needs_rollback
            or connection.closed_in_transaction
            or connection.run_on_commit
            or connection.savepoint_ids
        )


def _begins_deferred(connection: Any) -> bool:
    """Tell whether SQLite is to take no lock yet, and takes a BEGIN at all."""
    mode = connection.transaction_mode
    # One that raw SQL has left open takes none.
    return mode in (None, "DEFERRED") and not connection.connection.in_transaction
