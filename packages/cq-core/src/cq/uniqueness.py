"""How long an INSERT waits for a transaction that holds the same unique key."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, connections, transaction

from .conf import conf
from .errors import UniqueBusy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .inserts import Draft

#: As PostgreSQL and MySQL say that they have waited for a lock for long enough.
_LOCK_NOT_AVAILABLE = "55P03"
_LOCK_WAIT_TIMEOUT = 1205


@contextlib.contextmanager
def patience(using: str, draft: Draft) -> Iterator[None]:
    """Wait ``CQ_UNIQUE_WAIT`` seconds at most for the key; raises UniqueBusy."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        yield  # one writer at a time: who holds the key holds the database
        return
    patient = _on_mysql if connection.vendor == "mysql" else _on_postgresql
    try:
        with patient(connection):
            yield
    except OperationalError as error:
        state = getattr(error.__cause__, "sqlstate", None)
        if state != _LOCK_NOT_AVAILABLE and error.args[:1] != (_LOCK_WAIT_TIMEOUT,):
            raise
        raise UniqueBusy(
            f"{draft.name}: unique key {draft.unique_key!r} was held by another open "
            f"transaction for {conf.UNIQUE_WAIT:g} s; try again when that has ended"
        ) from error


@contextlib.contextmanager
def _on_postgresql(connection: Any) -> Iterator[None]:
    milliseconds = max(1, round(conf.UNIQUE_WAIT * 1000))
    # The savepoint keeps the caller's transaction usable after a refusal.
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            before = cursor.fetchone()[0]
            cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}")
        yield
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


@contextlib.contextmanager
def _on_mysql(connection: Any) -> Iterator[None]:
    # Whole seconds. A statement that has waited for too long is undone, and no more.
    seconds = max(1, round(conf.UNIQUE_WAIT))
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_lock_wait_timeout")
        before = cursor.fetchone()[0]
        cursor.execute("SET innodb_lock_wait_timeout = %s", [seconds])
        try:
            yield
        finally:
            cursor.execute("SET innodb_lock_wait_timeout = %s", [before])
