"""The wait of an INSERT for a transaction that holds the same unique key."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

from django.db import OperationalError, connections

from cq.conf import conf
from cq.db import error_codes, timeouts
from cq.errors import UniqueBusy

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
    try:
        with timeouts.limited(connection, _wait()):
            yield
    except OperationalError as error:
        if not error_codes.is_lock_timeout(error):
            raise
        first = drafts[0]
        others = f", or one of {len(drafts) - 1} others," if len(drafts) > 1 else ""
        raise UniqueBusy(
            f"{first.name}: unique key {first.unique_key!r}{others} was held by another "
            f"open transaction for {_wait():g} s; try again when that has ended"
        ) from error
