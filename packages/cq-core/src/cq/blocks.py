"""The transaction around an atomic task, which may turn out to need none."""

from __future__ import annotations

from typing import Any

from django.db.transaction import Atomic

#: Of a session, in libpq's words: no transaction has begun; a query runs; the
#: transaction has failed and takes no more statements.
NONE, ACTIVE, ABORTED = 0, 1, 3


def transaction_status(raw: Any) -> int:
    """Return libpq's word for the state of a driver's connection to PostgreSQL."""
    try:
        return int(raw.pgconn.transaction_status)
    except AttributeError:  # psycopg 2; 3 has `info`, too, which makes an enum of it
        return int(raw.info.transaction_status)


class TaskBlock(Atomic):
    """``transaction.atomic()`` on this connection, which belongs to this thread.

    On PostgreSQL a transaction begins with its first statement. Where the task makes
    none, what Django does to begin and commit costs a fourth of it, for nothing; this
    takes a short way then, which leaves the connection as Django would. Wherever there
    is more to it, it is Django's block.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection.alias, savepoint=True, durable=False)
        self._connection = connection
        #: The driver's connection, where this has begun the short way.
        self._raw: Any = None

    def __enter__(self) -> None:
        if not self._begin():
            super().__enter__()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None or not self._end():
            super().__exit__(kind, error, traceback)

    def _begin(self) -> bool:
        connection = self._connection
        raw = connection.connection
        if (
            raw is None
            or connection.vendor != "postgresql"
            or connection.in_atomic_block
            or not connection.autocommit
            # Django is to log it; or to look first whether the session is alive.
            or connection.queries_logged
            or (connection.health_check_enabled and not connection.health_check_done)
        ):
            return False
        try:
            raw.autocommit = False
        except Exception:
            # It fails for Django, too, who says so in its own words.
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
            or transaction_status(raw) != NONE
        ):
            return False
        try:
            raw.autocommit = True
        except Exception:
            return False
        connection.atomic_blocks.pop()
        connection.in_atomic_block = False
        connection.autocommit = True
        return True
