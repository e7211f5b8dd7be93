"""Transactions that a task has left open: found behind its call, rolled back, told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.db.backends.signals import connection_created

from cq.db import transactions
from cq.db.lazy_atomic import in_transaction
from cq.runs.run import current_run

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What coroutines of a loop have opened: they share one thread for the ORM.
_shared: WeakSet[Any] = WeakSet()


def check(opened: Iterable[Any], before: dict[str, int]) -> None:
    """Roll back what was opened since `before` and not ended.

    Raises TransactionManagementError where there was any.
    """
    if left := transactions.roll_back_left_open(opened, before):
        raise transaction.TransactionManagementError(
            f"The task left a transaction of {left[0]!r} open; what it wrote there "
            "is undone. Use atomic() in a with statement."
        )


async def check_shared() -> None:
    """As `check`, for a coroutine on a loop.

    A look from here costs no turn on the thread of the ORM. What is seen may be the
    statement of another coroutine: on that thread, nobody is at it.
    """
    if any(_is_open(connection) for connection in list(_shared)):
        await sync_to_async(_check_this_thread)()


async def roll_back_shared() -> None:
    """Roll back what a coroutine that raised has left open."""
    with contextlib.suppress(transaction.TransactionManagementError):
        await check_shared()


def _is_open(connection: Any) -> bool:
    try:
        return bool(in_transaction(connection))
    except Exception:
        return False  # it is being closed at this moment


def _check_this_thread() -> None:
    # Not the blocks of Django's that another coroutine holds: those are ended by it.
    opened = [
        c for c in connections.all(initialized_only=True) if not c.in_atomic_block
    ]
    check(opened, {})


def _note_shared(connection: Any, **kwargs: Any) -> None:
    run = current_run()
    if run is not None and run.on_loop:
        _shared.add(connection)


connection_created.connect(_note_shared)
