"""Which run of a task the present code belongs to, if any."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    #: Set, with the reason, once the claim is known to be given away.
    ended: str | None = None


#: A :class:`Run`, or a serial run (:mod:`cq.serial`), or None outside any task.
current: ContextVar[Any] = ContextVar("cq_current_run", default=None)


def current_run() -> Run | None:
    """Return the run of a recorded task that this code belongs to."""
    run = current.get()
    return run if isinstance(run, Run) else None


@contextlib.contextmanager
def entered(run: Any) -> Iterator[None]:
    """Make `run` the current one."""
    token = current.set(run)
    try:
        yield
    finally:
        current.reset(token)
