"""Waits for a task to settle, or says at once that this could never end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from . import cycles, made
from .errors import WaitError, WaitTimeout
from .local import local_runner, runs_here
from .rows import tasks
from .runs import current_run
from .status import FINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .models import Task

#: Seconds between two looks: the first, the growth of each, and the longest.
FIRST_LOOK = 0.02
GROWTH = 1.5
LONGEST_LOOK = 0.5


def wait(task: Task, timeout: float | None) -> None:
    """Block until the task is final. Raises WaitError, WaitTimeout.

    timeout: seconds; None waits for ever.
    """
    if _is_done(task):
        return
    _check(task)
    for pause in _pauses(task, timeout):
        time.sleep(pause)
        if _is_done(task):
            return


async def await_(task: Task, timeout: float | None) -> None:
    """As :func:`wait`, without holding a thread between two looks."""
    done = sync_to_async(_is_done)
    if await done(task):
        return
    await sync_to_async(_check)(task)
    for pause in _pauses(task, timeout):
        await asyncio.sleep(pause)
        if await done(task):
            return


def _is_done(task: Task) -> bool:
    using = task._state.db
    assert using is not None
    if runs_here():
        # What is waited for, or what it waits for, may stand in this thread's queue.
        local_runner.drain()
    status = tasks(using).filter(pk=task.pk).values_list("status", flat=True).first()
    if status is None:
        _check(task)
        raise WaitError(
            f"task {task.pk} has no row (any more); was it deleted, or made in a "
            "transaction that was rolled back?"
        )
    return status in FINAL


def _pauses(task: Task, timeout: float | None) -> Iterator[float]:
    end = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_LOOK
    while True:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise WaitTimeout(
                f"{task.name} {task.pk} was not done within {timeout:g} s"
            )
        yield pause if left is None else min(pause, left)
        pause = min(pause * GROWTH, LONGEST_LOOK)


def _check(task: Task) -> None:
    using = task._state.db
    assert using is not None
    if made.in_open_transaction(using, task.pk):
        raise WaitError(
            f"{task.name} {task.pk} was made in the transaction that is still open, and "
            "starts only when that commits. Wait after the atomic block; in tests use "
            "TransactionTestCase, captureOnCommitCallbacks(execute=True) or CQ_SERIAL"
        )
    run = current_run()
    if run is None or run.using != using:
        return
    mine = run.task.pk
    if task.pk == mine:
        raise WaitError(f"{task.name} {task.pk} waits for itself; return instead")
    if task.pk in cycles.ancestors(using, [mine]):
        raise WaitError(
            f"{run.task.name} {mine} waits for {task.pk}, which waits for it as its "
            "parent; return instead"
        )
    if mine in cycles.ancestors(using, [task.pk]):
        raise WaitError(
            f"{run.task.name} {mine} waits for its own subtask {task.pk}; return it, or "
            "pass its handle to another subtask, which starts when it is done"
        )
