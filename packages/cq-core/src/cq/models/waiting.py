"""The wait for a task to settle, or the error that it could never end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.core.exceptions import ObjectDoesNotExist
from django.db import connections

from cq.db import prepared
from cq.db.statements import uuid_param
from cq.definitions import registry
from cq.enqueue import commit_hooks
from cq.errors import CycleError, WaitError, WaitTimeout
from cq.execution.inline import inline_runner, runs_here
from cq.limits.operating.telling import why_held
from cq.runs.run import Run, current_run
from cq.status import FINAL, Status
from cq.tables import hydration
from cq.tables.queries import tasks
from cq.workers import liveness, notices, pauses
from cq.workflow import cycles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.local")

#: Seconds of a wait after which it is said that no worker is alive, if so.
PATIENCE_SECONDS = 5.0
#: Seconds between two looks: the first, the growth of each, and the longest.
FIRST_LOOK_SECONDS = 0.02
GROWTH = 1.5
LONGEST_LOOK_SECONDS = 0.5


def wait(task: TaskRow, timeout: float | None) -> None:
    """Block until the task is final, and read it again. Raises WaitError, WaitTimeout.

    timeout: seconds; None waits for ever. After five seconds without any worker alive a
    warning is logged, once.
    """
    if _is_final(task):
        return
    _refuse_what_never_ends(task)
    if _is_done(task):
        return
    _refuse_what_is_never_seen(task)
    settled, patience = threading.Event(), _Patience()
    with _told(task, settled.set) as is_told:
        for pause in _pauses(timeout):
            heard = False
            if is_told:
                heard = settled.wait(pause)
                settled.clear()
            else:
                time.sleep(pause)
            if _is_done(task, heard):
                return
            if patience.ends():
                _warn_of_no_worker(task)
    raise _not_done_in_time(task, timeout)


async def await_(task: TaskRow, timeout: float | None) -> None:
    """As :func:`wait`, without holding a thread between two looks."""
    if await sync_to_async(_is_final)(task):
        return
    await sync_to_async(_refuse_what_never_ends)(task)
    done = sync_to_async(_is_done)
    if await done(task):
        return
    await sync_to_async(_refuse_what_is_never_seen)(task)
    loop, settled = asyncio.get_running_loop(), asyncio.Event()
    patience = _Patience()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # that loop has ended meanwhile
            loop.call_soon_threadsafe(settled.set)

    with _told(task, tell):
        for pause in _pauses(timeout):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await settled.wait()
            heard = settled.is_set()
            settled.clear()
            if await done(task, heard):
                return
            if patience.ends():
                await sync_to_async(_warn_of_no_worker)(task)
    raise await sync_to_async(_not_done_in_time)(task, timeout)


@contextlib.contextmanager
def _told(task: TaskRow, tell: Callable[[], None]) -> Iterator[bool]:
    """Have `tell` called when the task may have settled; whether that can be."""
    leave = None if runs_here() else notices.listen(_using(task), task.pk, tell)
    try:
        yield leave is not None
    finally:
        if leave is not None:
            leave()


def _is_done(task: TaskRow, heard: bool = False) -> bool:
    if runs_here():
        # What is waited for, or what it waits for, may stand in this thread's queue.
        inline_runner.drain()
    if heard:
        # Most likely it has settled: one statement less until that is seen.
        _read_again(task)
        return task.status in FINAL
    return _is_final(task)


def _is_final(task: TaskRow) -> bool:
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


def _read_again(task: TaskRow) -> None:
    try:
        hydration.read_again(task)
    except ObjectDoesNotExist:
        raise WaitError(
            f"task {task.pk} has no row (any more); was it deleted, or made in a "
            "transaction that was rolled back?"
        ) from None


def _using(task: TaskRow) -> str:
    using = task._state.db
    assert using is not None
    return using


def _pauses(timeout: float | None) -> Iterator[float]:
    end = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_LOOK_SECONDS
    while True:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            return
        yield pause if left is None else min(pause, left)
        pause = min(pause * GROWTH, LONGEST_LOOK_SECONDS)


class _Patience:
    """The time that a wait lets pass in silence."""

    def __init__(self) -> None:
        self._end: float | None = time.monotonic() + PATIENCE_SECONDS

    def ends(self) -> bool:
        """Tell whether it is over; True once only."""
        if self._end is None or time.monotonic() < self._end:
            return False
        self._end = None
        return True


def _warn_of_no_worker(task: TaskRow) -> None:
    if not liveness.is_any_alive(_using(task)):
        logger.warning(
            "%s %s is waited for, but %s", task.name, task.pk, liveness.NO_WORKER
        )


def _not_done_in_time(task: TaskRow, timeout: float | None) -> WaitTimeout:
    using = _using(task)
    text = f"{task.name} {task.pk} was not done within {timeout:g} s"
    queued = tasks(using).filter(pk=task.pk, status=Status.QUEUED)
    found = queued.only("queue", "name", "lane", "options").first()
    if found is not None and (why := _why_queued(using, found)):
        text += f": {why}"
    return WaitTimeout(text)


def _why_queued(using: str, task: TaskRow) -> str | None:
    if paused := pauses.why_paused(using, task):
        return paused
    if nobody := liveness.why_nobody_runs(using, task.queue):
        return nobody
    if held := why_held(using, task):
        return held
    if task.name not in registry.names_defined_late():
        return None
    module = registry.get(task.name).function.__module__
    return (
        f"workers may not know it, for they import no {module!r}; add that to "
        "CQ_TASK_MODULES, or import it in the tasks.py of an app"
    )


_IN_A_BLOCK = (
    "Wait after the atomic block; in tests use TransactionTestCase, "
    "captureOnCommitCallbacks(execute=True) or CQ_SERIAL"
)
_IN_A_TASK = (
    "It is that of the atomic task which waits: return the handle instead, whose result "
    "is then its own, or pass it to a subtask"
)


def _refuse_what_never_ends(task: TaskRow) -> None:
    using, run = _using(task), current_run()
    if commit_hooks.in_open_transaction(using, task.pk):
        advice = _IN_A_BLOCK
        if run is not None and run.using == using and run.atomic:
            advice = _IN_A_TASK
        raise WaitError(
            f"{task.name} {task.pk} was made in the transaction that is still open, and "
            f"starts only when that commits. {advice}"
        )
    if run is not None and run.using == using:
        _refuse_relation(task, run)


def _refuse_what_is_never_seen(task: TaskRow) -> None:
    connection = connections[_using(task)]
    if connection.vendor == "sqlite" and connection.in_atomic_block:
        raise WaitError(
            f"{task.name} {task.pk} is not done, and a transaction of SQLite never sees "
            "what others write after its first look. Wait outside the atomic block, or "
            "make the waiting task @task(atomic=False)"
        )


def _refuse_relation(task: TaskRow, run: Run) -> None:
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
