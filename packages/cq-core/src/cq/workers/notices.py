"""Notices to those who wait for a task: it has settled.

A notice carries no responsibility, no more than a ring: who waits looks at the row from
time to time all the same. cq-channels registers its messenger here; with cq-core alone
nobody else settles anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

#: Of the advisory lock that all share who listen, in PostgreSQL's form of two numbers.
#: The first is "cq" in ASCII.
LOCK = (0x6371, 1)

_NOBODY = "(1 = 0)"
_LOOK = f"(SELECT NOT pg_try_advisory_xact_lock({LOCK[0]}, {LOCK[1]}))"
# For within a transaction, which would keep the lock, and nobody could begin to listen.
# Who begins between this and the commit looks at the row half a second later.
_LOOK_INSIDE = (
    "(SELECT EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory'"
    f" AND l.classid = {LOCK[0]} AND l.objid = {LOCK[1]} AND l.objsubid = 2 AND l.database ="
    " (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))"
)


class Messenger(Protocol):
    """A carrier of notices between processes. It may lose them, but never raise."""

    def listen(
        self, using: str, task_id: UUID, heard: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Call `heard`, on any thread, when the task may have settled.

        Returns what ends that; None where no notice would arrive.
        """

    def tell(self, using: str, ids: Sequence[UUID]) -> None:
        """Tell those who listen, once the present transaction has committed."""


_messenger: Messenger | None = None
#: By database: whether somebody listened when last looked.
_heard: dict[str, bool] = {}


def register(messenger: Messenger) -> None:
    """Let `messenger` carry the notices from now on."""
    global _messenger
    _messenger = messenger


def listen(
    using: str, task_id: UUID, heard: Callable[[], None]
) -> Callable[[], None] | None:
    """As :meth:`Messenger.listen`."""
    if _messenger is None:
        return None
    return _messenger.listen(using, task_id, heard)


def listener_sql(connection: Any) -> str:
    """Return SQL for whether anybody has to be told of anything, at next to no cost.

    Who listens shares a lock. Where that can be had alone, for the statement that asks,
    there is nobody; two that ask at one moment may take each other for somebody.
    """
    if _messenger is None or connection.vendor != "postgresql":
        return _NOBODY
    return _LOOK_INSIDE if connection.in_atomic_block else _LOOK


def notify(using: str, ids: Sequence[UUID]) -> None:
    """As :meth:`Messenger.tell`."""
    if _messenger is not None:
        _messenger.tell(using, ids)


def notify_before_looking(using: str, ids: Sequence[UUID]) -> bool:
    """Tell before looking whether anybody listens, if somebody did last time.

    Who waits is woken sooner by that look. Returns whether it was done.
    """
    if not _heard.get(using) or connections[using].in_atomic_block:
        return False
    notify(using, ids)
    return True


def remember(using: str, somebody_listens: bool) -> None:
    """Remember for `notify_before_looking` what a look has found."""
    _heard[using] = somebody_listens
