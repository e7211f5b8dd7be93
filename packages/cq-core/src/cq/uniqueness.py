"""How long an INSERT waits for a transaction that holds the same unique key."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from django.db import OperationalError, connections, transaction

from .conf import conf
from .errors import UniqueBusy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .inserts import Draft

_LOCK_NOT_AVAILABLE = "55P03"


@contextlib.contextmanager
def patience(using: str, draft: Draft) -> Iterator[None]:
    """Wait ``CQ_UNIQUE_WAIT`` seconds at most for the key; raises UniqueBusy."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield  # one writer at a time: who holds the key holds the database
        return
    milliseconds = max(1, round(conf.UNIQUE_WAIT * 1000))
    try:
        # The savepoint keeps the caller's transaction usable after a refusal.
        with transaction.atomic(using=using):
            with connection.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                before = cursor.fetchone()[0]
                cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}")
            yield
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise UniqueBusy(
            f"{draft.name}: unique key {draft.unique_key!r} was held by another open "
            f"transaction for {conf.UNIQUE_WAIT:g} s; try again when that has ended"
        ) from error
