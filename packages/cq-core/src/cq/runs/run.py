"""The run of a task that the present code belongs to, if any."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from cq.errors import OutOfTime, Revoked, Suspended
from cq.hooks.hearing import heard

from . import stopping
from .interrupter import Interrupter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from cq.lifecycle import Claim, Failure
    from cq.logs.buffer import LogBuffer
    from cq.tables.rows import TaskRow

    from .write_lock import WriteLock

    OnFailure = Callable[[BaseException, Failure], None]


@dataclass(eq=False)
class Run:
    """One attempt at a claimed task, while its function runs."""

    task: TaskRow
    claim: Claim
    using: str
    #: Inside the transaction that completes it.
    atomic: bool
    log: LogBuffer
    #: Subtasks that this run has made and committed; a hint, see `open_children`.
    children: int = 0
    #: The INSERTs that it holds back, see :mod:`cq.enqueue.batch`.
    batch: Any = None
    #: What it has chained to itself for its own failure: calls, when they run, and what
    #: they take along. An atomic run's are undone with the rest then, and recorded once more.
    errorbacks: list[tuple[Any, str, dict[str, Any] | None]] | None = None
    #: Revocations by an atomic run that reached itself: of which task, and why. They are
    #: undone with the rest, and done once more.
    revocations: list[tuple[UUID, str, bool]] | None = None
    #: Keys to be closed once it has ended, and for how many seconds: see `back_off`.
    back_offs: list[tuple[dict[str, str], float]] | None = None
    #: Of an atomic run on SQLite, while its function runs.
    write_lock: WriteLock | None = None
    #: Whether it is a coroutine on a loop with others, which share a thread for the ORM.
    on_loop: bool = False
    #: Whether others see the claim: it is not in a transaction that is still open.
    visible: bool = True
    #: By the monotonic clock: when it began, and when its time is over.
    began: float = field(default_factory=time.monotonic)
    deadline: float = math.inf
    interrupter: Interrupter = field(default_factory=Interrupter)
    #: Set, with the reason, once the claim is known to be given away.
    ended: str | None = None
    #: Whether it is, and by a revocation.
    revoked: bool = False
    #: Whether its time is over.
    overdue: bool = False
    #: By the monotonic clock: when either became known.
    noticed_at: float | None = None
    #: By who asked for it, see `when_failed`.
    on_failure: dict[str, OnFailure] | None = None
    #: Whether its function may be suspended, and what it enqueues is kept as steps.
    durable: bool = False
    #: The present moment where that was given; None: as the database's clock says.
    now: datetime | None = None
    #: The steps that it has kept or comes to, see :mod:`cq.durable`; None: not asked yet.
    steps: Any = None
    #: The place of the step whose function runs, with its name, its key, and its number:
    #: what is enqueued belongs to that; None: no step's does.
    step: tuple[str, str, int] | None = None
    #: Of a coroutine: done when the step has ended that is under way; None: none is.
    under_way: asyncio.Future[None] | None = None
    #: Subtasks made in the transaction of a step so far, which counts them with its last
    #: statement; None: none is open.
    step_children: int | None = None
    #: What it was suspended by, whatever the function has made of that.
    suspended: Suspended | None = None

    def begin_again(self) -> None:
        """Forget what was made in a transaction that is undone, to be called again."""
        self.children = 0
        self.errorbacks = self.revocations = None
        self.log.restore()

    def suspend(self, suspended: Suspended) -> NoReturn:
        """Unwind the function, whose run ends as SUSPENDED."""
        self.suspended = suspended
        raise suspended

    def give_way(self) -> None:
        """Hand a durable run over where its worker stops; not within a step."""
        if (
            self.durable
            and self.step is None
            and stopping.is_stopping(self.claim.worker)
        ):
            self.suspend(Suspended.handover())

    def check(self) -> None:
        """Raise Revoked, OutOfTime or Suspended in the function, which has called in."""
        if self.ended or self.log.stale or self.revocations:
            raise Revoked(
                self.ended
                or f"{self.task.name} {self.task.pk} was revoked while it ran"
            )
        if self.overdue or time.monotonic() >= self.deadline:
            self.overdue = True
            raise OutOfTime(f"{self.task.name} {self.task.pk} is out of time")
        if self.suspended is not None:
            raise self.suspended
        self.give_way()


#: A :class:`Run`, or a serial run (:mod:`cq.serial.workflow`), or None outside any task.
current: ContextVar[Any] = ContextVar("cq_current_run", default=None)


def current_run() -> Run | None:
    """Return the run of a recorded task that this code belongs to."""
    run = current.get()
    return run if isinstance(run, Run) else None


def when_failed(who: str, function: OnFailure) -> None:
    """Have a function called once the present run, serial or not, has failed for good.

    That is with what it raised, and with that as text, once it is recorded, unless it is
    tried again. who: whose it is; a run that is called anew asks anew, for one call.
    """
    run = current.get()
    run.on_failure = {**(run.on_failure or {}), who: function}


def tell_failed(run: Any, error: BaseException, failure: Failure) -> None:
    """Call those who asked for it."""
    for function in (run.on_failure or {}).values():
        function(error, failure)


class entered:
    """A ``with`` block in which `run` is the current one."""

    # Not by contextlib, which takes twice as long.
    __slots__ = ("_heard", "_run", "_token")

    def __init__(self, run: Any) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._token = current.set(self._run)
        # What a receiver enqueues may run right there, and is no part of that.
        self._heard = heard.set(False)

    def __exit__(self, *_: object) -> None:
        heard.reset(self._heard)
        current.reset(self._token)
