"""Commit hooks that know which tasks were made inside the open transaction.

It is noted on the commit hooks, which go where the rows go: a savepoint that is rolled
back takes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from cq.db import internals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

_NOTE = "cq_note"


@dataclass(slots=True)
class PendingTasks:
    """The tasks that one commit hook stands for: nothing of them can have started."""

    includes: Callable[[UUID], bool]
    #: The run that made subtasks, and how many.
    run: Any = None
    children: int = 0


def after_commit(using: str, note: PendingTasks, action: Callable[[], None]) -> None:
    """Call `action` when the open transaction commits; at once if there is none."""

    # A function, no partial: Django names a robust hook that raises by __qualname__.
    def announce_tasks() -> None:
        action()

    setattr(announce_tasks, _NOTE, note)
    transaction.on_commit(announce_tasks, using=using, robust=True)


def _pending(using: str) -> Iterator[PendingTasks]:
    connection = connections[using]
    if connection.in_atomic_block:
        for hook in internals.commit_hooks(connection):
            if note := getattr(hook, _NOTE, None):
                yield note


def in_open_transaction(using: str, task_id: UUID) -> bool:
    """Tell whether a task was made in the transaction that is open now."""
    return any(note.includes(task_id) for note in _pending(using))


def open_children(using: str, run: Any) -> int:
    """Count the subtasks that a run has made in the transaction that is open now."""
    return sum(note.children for note in _pending(using) if note.run is run)
