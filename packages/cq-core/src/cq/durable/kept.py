"""A step as a run knows it: as its row is, or as it comes to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cq.errors import StepMismatch
from cq.tables.durable.queries import steps
from cq.tables.durable.rows import said

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: What finds a step of a task: its name, its key, its number.
Place = tuple[str, str, int]


@dataclass(slots=True)
class Kept:
    """One step. `id` is None while it has no row."""

    kind: str
    name: str
    key: str
    number: int
    digest: str
    id: int | None = None
    tries: int = 0
    finished: datetime | None = None
    moment: datetime | None = None
    result: str | None = None
    error: str | None = None
    exception: str | None = None
    traceback: str | None = None
    ended_run: bool = False
    lines: int = 0
    #: The name of the task that takes it back.
    undo: str | None = None
    #: Ended in this very run, by whose clock it has no `finished` yet.
    ended: bool = False
    #: Begun once more in this very run, whose row still tells when it began before.
    is_anew: bool = False

    def __str__(self) -> str:
        return said(self.name, self.key, self.number)

    @property
    def place(self) -> Place:
        return self.name, self.key, self.number

    @property
    def is_open(self) -> bool:
        """Whether nothing has come of it yet."""
        return self.finished is None and not self.ended

    def begin_anew(self) -> None:
        """Forget an error that has ended a run."""
        self.tries = self.lines = 0
        self.finished = self.moment = None
        self.result = self.error = self.exception = self.traceback = None
        self.undo = None
        self.ended_run = self.ended = False
        self.is_anew = True

    def check(self, kind: str, digest: str) -> None:
        """Raise StepMismatch where the function has come to something else."""
        if self.kind != kind:
            raise StepMismatch(
                f"step {str(self)!r} is of the kind {self.kind!r} in an earlier run, and "
                f"{kind!r} now. {_ADVICE}"
            )
        if self.digest != digest:
            raise StepMismatch(
                f"step {str(self)!r} has other arguments than in an earlier run. "
                f"{_ADVICE}"
            )


_ADVICE = (
    "In a loop, or where steps come and go, give each a key: "
    "cqt.using(key=...).step(...); or give it another name"
)
_OF_THIS_RUN = ("ended", "is_anew")
_COLUMNS = tuple(name for name in Kept.__slots__ if name not in _OF_THIS_RUN)


def read(using: str, task: UUID) -> dict[Place, Kept]:
    """Return the steps of a task, by one query."""
    rows = steps(using).filter(task=task).values_list(*_COLUMNS)
    found = [Kept(*row) for row in rows]
    return {one.place: one for one in found}
