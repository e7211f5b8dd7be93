"""The tasks and the edges of a tree as plain values, and the times of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
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
    def took(self) -> float | None:
        """Seconds from its first start to its end."""
        if self.began is None or self.finished is None:
            return None
        return max(0.0, (self.finished - self.began).total_seconds())

    @property
    def is_open(self) -> bool:
        return self.status not in FINAL

    def end(self, now: datetime) -> datetime:
        """Return when it ended, or how far time has come."""
        return self.finished or now

    @property
    def rank(self) -> int:
        """How far one that is open has come; the lower the further."""
        return rank_of(self.status)


def rank_of(status: str) -> int:
    """Return how far a task of a status has come; the lower the further."""
    if status not in OPEN:
        return len(_PROGRESS)
    return _PROGRESS.index(Status(status))


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
    #: Seconds that the slowest of those that have ended took.
    longest: float | None = None
    #: One of them that is open.
    open_one: UUID | None = None


@dataclass
class Pace:
    """How long tasks of one name took: some of them that succeeded, and the slowest."""

    #: Seconds of each.
    some: list[float] = field(default_factory=list)
    longest: float = -1.0
    slowest: UUID | None = None

    def add(self, pk: UUID, seconds: float, *, is_one_of_some: bool) -> None:
        """Add what one took; is_one_of_some: whether it stands for others too."""
        if is_one_of_some:
            self.some.append(seconds)
        if seconds > self.longest:
            self.longest, self.slowest = seconds, pk

    @property
    def p50(self) -> float | None:
        """Seconds that half of them did not take longer than, about."""
        return median(self.some) if self.some else None


#: By parent and name.
Paces = Mapping[tuple["UUID", str], Pace]
Rows = Mapping["UUID", Node]
