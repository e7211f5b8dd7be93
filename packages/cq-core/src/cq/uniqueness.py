"""How long an INSERT waits for a transaction that holds the same unique key."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, connections, transaction

from . import lock_waits
from .conf import conf
from .errors import UniqueBusy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .inserts import Draft


@contextlib.contextmanager
def patience(using: str, draft: Draft) -> Iterator[None]:
    """Wait ``CQ_UNIQUE_WAIT`` seconds at most for the key; raises UniqueBusy."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        yield  # one writer at a time: who holds the key holds the database
        return
    mysql = connection.vendor == "mysql"
    limited = lock_waits.limited_on_mysql if mysql else _on_postgresql
    try:
        with limited(connection, conf.UNIQUE_WAIT):
            yield
    except OperationalError as error:
        if not lock_waits.has_run_out(error):
            raise
        raise UniqueBusy(
            f"{draft.name}: unique key {draft.unique_key!r} was held by another open "
            f"transaction for {conf.UNIQUE_WAIT:g} s; try again when that has ended"
        ) from error


@contextlib.contextmanager
def _on_postgresql(connection: Any, seconds: float) -> Iterator[None]:
    milliseconds = max(1, round(seconds * 1000))
    # The savepoint keeps the caller's transaction usable after a refusal.
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            before = cursor.fetchone()[0]
            cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}")
        yield
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
