"""Which run of a task the present code belongs to, if any."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import OutOfTime, Revoked
from .interrupting import Stopper

if TYPE_CHECKING:
    from .lifecycle import Claim
    from .logs import LogBuffer
    from .models import Task


@dataclass(eq=False)
class Run:
    """One attempt at a claimed task, while its function runs."""

    task: Task
    claim: Claim
    using: str
    #: Inside the transaction that completes it.
    atomic: bool
    log: LogBuffer
    #: Subtasks that this run has made and committed; a hint, see `open_children`.
    children: int = 0
    #: Where what it calls is gathered, see :mod:`cq.gathered`.
    gathered: Any = None
    #: Whether others see the claim: it is not in a transaction that is still open.
    visible: bool = True
    #: By the monotonic clock: when it began, and when its time is over.
    began: float = field(default_factory=time.monotonic)
    deadline: float = math.inf
    stopper: Stopper = field(default_factory=Stopper)
    #: Set, with the reason, once the claim is known to be given away.
    ended: str | None = None
    #: Whether its time is over.
    overdue: bool = False
    #: By the monotonic clock: when either became known.
    told: float | None = None

    def check(self) -> None:
        """Raise Revoked or OutOfTime in the function, which has called in."""
        if self.ended or self.log.stale:
            raise Revoked(
                self.ended
                or f"{self.task.name} {self.task.pk} was revoked while it ran"
            )
        if self.overdue or time.monotonic() >= self.deadline:
            self.overdue = True
            raise OutOfTime(f"{self.task.name} {self.task.pk} is out of time")


#: A :class:`Run`, or a serial run (:mod:`cq.serial`), or None outside any task.
current: ContextVar[Any] = ContextVar("cq_current_run", default=None)


def current_run() -> Run | None:
    """Return the run of a recorded task that this code belongs to."""
    run = current.get()
    return run if isinstance(run, Run) else None


class entered:
    """Make `run` the current one in a ``with`` block."""

    # Not by contextlib, which takes twice as long.
    __slots__ = ("_run", "_token")

    def __init__(self, run: Any) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._token = current.set(self._run)

    def __exit__(self, *_: object) -> None:
        current.reset(self._token)
