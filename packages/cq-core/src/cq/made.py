"""What was made inside the open transaction: nothing of it can have started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

#: On the hooks that we leave with a transaction: the ids of what was made in it. They
#: go where the hooks go, also when a savepoint is rolled back.
_IDS = "cq_made"


def after_commit(
    using: str, ids: Collection[UUID], action: Callable[[], None] | None
) -> None:
    """Call `action` when the open transaction, in which `ids` were made, commits."""

    # A function, no partial: Django names a robust hook that raises by __qualname__.
    def announce_tasks() -> None:
        if action is not None:
            action()

    setattr(announce_tasks, _IDS, ids)
    transaction.on_commit(announce_tasks, using=using, robust=True)


def in_open_transaction(using: str, task_id: UUID) -> bool:
    """Tell whether a task was made in the transaction that is open now."""
    connection = connections[using]
    return connection.in_atomic_block and any(
        task_id in getattr(hook[1], _IDS, ()) for hook in connection.run_on_commit
    )
