"""How long an INSERT waits for a transaction that holds the same unique key."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, connections, transaction

from .conf import conf
from .errors import UniqueBusy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .inserts import Draft

#: As PostgreSQL and MySQL say that they have waited for a lock for long enough.
_LOCK_NOT_AVAILABLE = "55P03"
_LOCK_WAIT_TIMEOUT = 1205


_shorter: ContextVar[float | None] = ContextVar("cq_shorter_wait", default=None)


@contextlib.contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """Wait less than ``CQ_UNIQUE_WAIT``: for who has other things to do."""
    token = _shorter.set(seconds)
    try:
        yield
    finally:
        _shorter.reset(token)


def _wait() -> float:
    longest: float = conf.UNIQUE_WAIT
    shorter = _shorter.get()
    return longest if shorter is None else min(shorter, longest)


@contextlib.contextmanager
def patience(using: str, drafts: Sequence[Draft]) -> Iterator[None]:
    """Wait ``CQ_UNIQUE_WAIT`` seconds at most for their keys; raises UniqueBusy."""
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
        first = drafts[0]
        others = f", or one of {len(drafts) - 1} others," if len(drafts) > 1 else ""
        raise UniqueBusy(
            f"{first.name}: unique key {first.unique_key!r}{others} was held by another "
            f"open transaction for {_wait():g} s; try again when that has ended"
        ) from error


@contextlib.contextmanager
def _on_postgresql(connection: Any) -> Iterator[None]:
    milliseconds = max(1, round(_wait() * 1000))
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
    seconds = max(1, round(_wait()))
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_lock_wait_timeout")
        before = cursor.fetchone()[0]
        cursor.execute("SET innodb_lock_wait_timeout = %s", [seconds])
        try:
            yield
        finally:
            cursor.execute("SET innodb_lock_wait_timeout = %s", [before])
