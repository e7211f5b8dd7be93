"""What was made inside each open transaction: nothing of it can have started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.db import connections

if TYPE_CHECKING:
    from uuid import UUID

#: By the outermost block of the transaction, and gone with it.
_made: WeakKeyDictionary[Any, set[UUID]] = WeakKeyDictionary()


def remember(using: str, task_id: UUID) -> None:
    """Note a task that was made just now, if inside a transaction."""
    blocks = connections[using].atomic_blocks
    if blocks:
        _made.setdefault(blocks[0], set()).add(task_id)


def in_open_transaction(using: str, task_id: UUID) -> bool:
    """Tell whether a task was made in the transaction that is open now."""
    blocks = connections[using].atomic_blocks
    return bool(blocks) and task_id in _made.get(blocks[0], ())
