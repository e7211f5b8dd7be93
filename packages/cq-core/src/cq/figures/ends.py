"""The ends of runs, as figures have them: what is counted of which, and in which minute."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.errors import TaskTimeout
from cq.status import Status

from .counter import FAILED, LOST, RETRIED
from .writer import writer

if TYPE_CHECKING:
    from datetime import datetime

    from cq.lifecycle import Failure
    from cq.tables.rows import TaskRow

#: The statuses of a run that has raised RetryLater.
_RAISED_RETRY_LATER = frozenset({Status.RETRY, Status.EXPIRED})
_counter = writer.counter
_TIMED_OUT = f"{TaskTimeout.__module__}.{TaskTimeout.__qualname__}"


def count_run(
    task: TaskRow, began: float, status: Status | None, failure: Failure | None = None
) -> None:
    """Count a run that has ended, on any thread.

    began: when, by the monotonic clock. status: the one that was recorded; None where
    none was, and the run counts for nothing.
    """
    started, using = task.started, task._state.db or conf.DATABASE
    if status is None or started is None:
        return
    took = time.monotonic() - began
    if failure is None and status not in _RAISED_RETRY_LATER:
        # One that waits for its subtasks has returned, and so is done.
        could = task.ready or task.submitted
        _counter.returned((using, task.name, task.queue, started, could, took))
        return
    # By the clock of the database: that of this host may be wrong.
    key = (using, int(started.timestamp() + took) // 60, task.name, task.queue)
    end = RETRIED if status == Status.RETRY else FAILED
    timed_out = failure is not None and failure.exception == _TIMED_OUT
    _counter.ended(key, end, timed_out=timed_out)


def count_lost(using: str, name: str, queue: str, now: datetime | None = None) -> None:
    """Count a run whose worker has died."""
    moment = time.time() if now is None else now.timestamp()
    _counter.ended((using, int(moment) // 60, name, queue), LOST)


def count_call(
    name: str, queue: str, began: float, error: BaseException | None, again: bool
) -> None:
    """Count a run of a task that was called like a function: it has not waited.

    began: by the monotonic clock. error: what it raised; again: whether it is tried again.
    """
    key = (conf.DATABASE, int(time.time()) // 60, name, queue)
    if error is None:
        _counter.succeeded(key, None, time.monotonic() - began)
        return
    end = RETRIED if again else FAILED
    _counter.ended(key, end, timed_out=isinstance(error, TaskTimeout))
