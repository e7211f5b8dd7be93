"""The hints of where there may be work: ids from doorbells, or the table as a whole."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

#: Ids to keep; when more have come, the table is looked at instead.
MAX_IDS = 1000


class Hints:
    """The hints that a claimer has not followed yet; any thread may add some."""

    def __init__(self) -> None:
        #: Whether to look at the table.
        self.table = True
        #: Whether the last look at the whole table found nothing.
        self.found_nothing = False
        #: Whether anybody has rung since the claimer last looked for new pairs.
        self.rung = False
        #: How often hints were added.
        self.added = 0
        self._ids: set[UUID] = set()
        self._lock = threading.Lock()

    def add(
        self, ready: Sequence[tuple[UUID, str]] | None, without: Collection[str] = ()
    ) -> None:
        """Add these tasks, but for those of some queues; None: the table."""
        with self._lock:
            self.rung = True
            self.added += 1
            if ready is None or len(self._ids) + len(ready) > MAX_IDS:
                self.table = True
            else:
                self._ids.update(pk for pk, queue in ready if queue not in without)

    @property
    def pending(self) -> bool:
        """Whether there is a hint to follow."""
        return self.table or bool(self._ids)

    @property
    def exhausted(self) -> bool:
        """Whether the last look found nothing, and no hint has come since."""
        with self._lock:
            return self.found_nothing and not self.pending

    def drop(self, task_id: UUID) -> bool:
        """Take one id out; whether it was there."""
        with self._lock:
            there = task_id in self._ids
            self._ids.discard(task_id)
            return there

    def take(self) -> tuple[set[UUID], bool]:
        """Return the ids, and whether to look at the table; they are hints no more."""
        with self._lock:
            ids, self._ids = self._ids, set()
            table, self.table = self.table, False
            # False until it is known again, or a burst would end during the look.
            self.found_nothing = False
            return ids, table
