"""What a listener was told, to be waited for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds after which a test gives up; none of them waits so long.
PATIENCE = 30.0

Ready = list[tuple[UUID, str]]


class Heard:
    def __init__(self) -> None:
        self.wakes: list[Ready | None] = []
        self._changed = threading.Condition()

    def __call__(self, ready: Ready | None) -> None:
        with self._changed:
            self.wakes.append(ready)
            self._changed.notify_all()

    def forget(self) -> None:
        with self._changed:
            self.wakes.clear()

    def until(self, wanted: Callable[[list[Ready | None]], bool]) -> None:
        """Wait until the wakes are as wanted."""
        with self._changed:
            assert self._changed.wait_for(lambda: wanted(self.wakes), PATIENCE), (
                self.wakes
            )

    def until_woken(self) -> None:
        self.until(bool)

    def until_told(self, task_id: UUID) -> None:
        """Wait for this id, or for a look at the table that would find it."""
        self.until(
            lambda wakes: any(w is None or task_id in dict(w) for w in wakes),
        )
