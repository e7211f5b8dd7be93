"""The marks of this process: trees that are watched and have changed here.

Where nobody watches, a mark costs one look at an empty set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[UUID], None]

#: Stands for all trees at once: what is shown on the overview, and beside the workers.
EVERYTHING = UUID(int=0)


class Marks:
    """What is watched, as it was last read, and who is to be told of a change."""

    def __init__(self) -> None:
        self.watched: frozenset[UUID] = frozenset()
        self._registered: Tell = _nobody
        self._tell: Tell = _nobody

    @property
    def reach_somebody(self) -> bool:
        """Whether there is anybody to be told at all."""
        return self._tell is not _nobody

    def register(self, tell: Tell) -> None:
        """Call `tell` in this process unless another is attached."""
        self._registered = self._tell = tell

    def attach(self, tell: Tell) -> None:
        """Call `tell`, which may not wait, with each tree that changes; on any thread."""
        self._tell = tell

    def detach(self) -> None:
        self.watched, self._tell = frozenset(), self._registered

    def mark(self, root: UUID) -> None:
        """Say that something in this tree is another now, or soon will be."""
        watched = self.watched
        if not watched:
            return
        if root in watched:
            self._tell(root)
        if EVERYTHING in watched:
            self._tell(EVERYTHING)

    def tell(self, root: UUID) -> None:
        """As `mark`, of a tree that is known to be watched."""
        self._tell(root)


def _nobody(root: UUID) -> None:
    pass


marks = Marks()
