"""How long a statement waits for a lock of somebody else's transaction."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: As PostgreSQL and MySQL say that they have waited for long enough.
_LOCK_NOT_AVAILABLE = "55P03"
_LOCK_WAIT_TIMEOUT = 1205


def has_run_out(error: BaseException) -> bool:
    """Tell whether a statement has waited for a lock for too long."""
    if error.args[:1] == (_LOCK_WAIT_TIMEOUT,):
        return True
    return getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE


@contextlib.contextmanager
def limited_on_mysql(connection: Any, seconds: float) -> Iterator[None]:
    """Let statements wait that long at most: whole seconds, one at least.

    One that has waited for too long is undone, and no more: its transaction goes on.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_lock_wait_timeout")
        before = cursor.fetchone()[0]
        _set(cursor, max(1, round(seconds)))
        try:
            yield
        finally:
            _set(cursor, before)


def _set(cursor: Any, seconds: int) -> None:
    cursor.execute("SET innodb_lock_wait_timeout = %s", [seconds])
