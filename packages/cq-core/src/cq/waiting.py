"""Waits for a task to settle, or says at once that this could never end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.core.exceptions import ObjectDoesNotExist
from django.db import connections

from . import cycles, loading, made, notices, prepared
from .errors import CycleError, WaitError, WaitTimeout
from .local import local_runner, runs_here
from .runs import Run, current_run
from .statements import uuid_param
from .status import FINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .models import Task

#: Seconds between two looks: the first, the growth of each, and the longest.
FIRST_LOOK = 0.02
GROWTH = 1.5
LONGEST_LOOK = 0.5


def wait(task: Task, timeout: float | None) -> None:
    """Block until the task is final, and read it again. Raises WaitError, WaitTimeout.

    timeout: seconds; None waits for ever.
    """
    if _is_final(task):
        return
    _refuse_what_never_ends(task)
    if _is_done(task):
        return
    _refuse_what_is_never_seen(task)
    settled = threading.Event()
    with _told(task, settled.set) as is_told:
        for pause in _pauses(task, timeout):
            heard = False
            if is_told:
                heard = settled.wait(pause)
                settled.clear()
            else:
                time.sleep(pause)
            if _is_done(task, heard):
                return


async def await_(task: Task, timeout: float | None) -> None:
    """As :func:`wait`, without holding a thread between two looks."""
    if await sync_to_async(_is_final)(task):
        return
    await sync_to_async(_refuse_what_never_ends)(task)
    done = sync_to_async(_is_done)
    if await done(task):
        return
    await sync_to_async(_refuse_what_is_never_seen)(task)
    loop, settled = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # that loop has ended meanwhile
            loop.call_soon_threadsafe(settled.set)

    with _told(task, tell):
        for pause in _pauses(task, timeout):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await settled.wait()
            heard = settled.is_set()
            settled.clear()
            if await done(task, heard):
                return


@contextlib.contextmanager
def _told(task: Task, tell: Callable[[], None]) -> Iterator[bool]:
    """Have `tell` called when the task may have settled; whether that can be."""
    leave = None if runs_here() else notices.listen(_using(task), task.pk, tell)
    try:
        yield leave is not None
    finally:
        if leave is not None:
            leave()


def _is_done(task: Task, heard: bool = False) -> bool:
    if runs_here():
        # What is waited for, or what it waits for, may stand in this thread's queue.
        local_runner.drain()
    if heard:
        # Most likely it has settled: one statement less until that is seen.
        _read_again(task)
        return task.status in FINAL
    return _is_final(task)


def _is_final(task: Task) -> bool:
    """Tell whether a task is final, and read it again if so."""
    connection = connections[_using(task)]
    with prepared.cursor(connection) as cursor:
        # Not the whole row each time: its arguments may be large.
        cursor.execute(
            "SELECT status FROM cq_tasks WHERE id = %s",
            [uuid_param(connection, task.pk)],
        )
        row = cursor.fetchone()
    if row is not None and row[0] not in FINAL:
        return False
    _read_again(task)
    return task.status in FINAL


def _read_again(task: Task) -> None:
    try:
        loading.read_again(task)
    except ObjectDoesNotExist:
        raise WaitError(
            f"task {task.pk} has no row (any more); was it deleted, or made in a "
            "transaction that was rolled back?"
        ) from None


def _using(task: Task) -> str:
    using = task._state.db
    assert using is not None
    return using


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


def _refuse_what_never_ends(task: Task) -> None:
    using = _using(task)
    if made.in_open_transaction(using, task.pk):
        raise WaitError(
            f"{task.name} {task.pk} was made in the transaction that is still open, and "
            "starts only when that commits. Wait after the atomic block; in tests use "
            "TransactionTestCase, captureOnCommitCallbacks(execute=True) or CQ_SERIAL"
        )
    run = current_run()
    if run is not None and run.using == using:
        _refuse_relation(task, run)


def _refuse_what_is_never_seen(task: Task) -> None:
    connection = connections[_using(task)]
    if connection.vendor == "sqlite" and connection.in_atomic_block:
        raise WaitError(
            f"{task.name} {task.pk} is not done, and a transaction of SQLite never sees "
            "what others write after its first look. Wait outside the atomic block, or "
            "make the waiting task @task(atomic=False)"
        )


def _refuse_relation(task: Task, run: Run) -> None:
    using, mine = run.using, run.task.pk
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
    try:
        cycles.check(using, mine, {task.pk}, f"{run.task.name} {mine}")
    except CycleError:
        raise WaitError(
            f"{run.task.name} {mine} waits for {task.pk}, which does not start before "
            "it has ended; return instead"
        ) from None
