"""The tasks and the edges of a tree as plain values, and the times of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cq.status import FINAL, OPEN, Status

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: Where a task that is open stands, from what is the furthest on.
_PROGRESS = (
    Status.RUNNING,
    Status.WAITING,
    Status.SUSPENDED,
    Status.QUEUED,
    Status.RETRY,
    Status.PENDING,
)


@dataclass(frozen=True, slots=True)
class Node:
    """One task of a tree."""

    id: UUID
    parent: UUID | None
    name: str
    status: str
    queue: str
    submitted: datetime
    ready: datetime | None = None
    #: Of its first attempt, where there was another.
    first_started: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    #: Whether its parent waits for it.
    counted: bool = True
    #: The start of it, with the name of its class.
    error: str = ""

    @property
    def began(self) -> datetime | None:
        return self.first_started or self.started

    @property
    def is_open(self) -> bool:
        return self.status not in FINAL

    def end(self, now: datetime) -> datetime:
        """Return when it ended, or how far time has come."""
        return self.finished or now

    @property
    def rank(self) -> int:
        """How far one that is open has come; the lower the further."""
        if self.status not in OPEN:
            return len(_PROGRESS)
        return _PROGRESS.index(Status(self.status))


class Edge(NamedTuple):
    """A task that another starts after."""

    task: UUID
    depends_on: UUID
    #: None: it still waits.
    met: bool | None = True


class Group(NamedTuple):
    """The children of one parent that have one name and one status, as counted."""

    parent: UUID
    name: str
    status: str
    number: int
    first: datetime | None = None
    last: datetime | None = None
    #: Of their progress: how much there is to do, and how much is done.
    amount: float = 0
    done: float = 0


Rows = Mapping["UUID", Node]
