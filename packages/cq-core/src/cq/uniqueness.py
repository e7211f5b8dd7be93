"""How long an INSERT waits for a transaction that holds the same unique key."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, connections, transaction

from . import lock_waits
from .conf import conf
from .errors import UniqueBusy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .drafts import Draft


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
    mysql = connection.vendor == "mysql"
    limited = lock_waits.limited_on_mysql if mysql else _on_postgresql
    try:
        with limited(connection, _wait()):
            yield
    except OperationalError as error:
        if not lock_waits.has_run_out(error):
            raise
        first = drafts[0]
        others = f", or one of {len(drafts) - 1} others," if len(drafts) > 1 else ""
        raise UniqueBusy(
            f"{first.name}: unique key {first.unique_key!r}{others} was held by another "
            f"open transaction for {_wait():g} s; try again when that has ended"
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
