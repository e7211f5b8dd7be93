"""The inline runner: tasks run on the thread that queued them, where there is no worker.

And, where there are workers, the one task that a process runs by the way.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error, connections

from cq import lifecycle
from cq.conf import conf
from cq.db import internals
from cq.db.statements import uuid_param
from cq.tables import hydration
from cq.tables.rows import TaskRow
from cq.watching.marks import marks
from cq.watching.watchers import learn
from cq.workers.lease import Lease
from cq.workers.liveness import own_workers

from . import sync_runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from cq.workers.doorbell import Ready

logger = logging.getLogger("cq.local")

T = TypeVar("T", bound=TaskRow)


def runs_here() -> bool:
    """Tell whether this process runs what it queues: ``CQ_SERIAL``, ``CQ_RUN_INLINE``."""
    if conf.SERIAL:
        return True
    inline = conf.RUN_INLINE
    return not _has_channels() if inline is None else bool(inline)


#: The apps that were looked through, and whether cq-channels is among them.
_seen: tuple[Any, bool] = None, False


def _has_channels() -> bool:
    # Each call is asked twice, and Django goes through all apps. Other ones are in a
    # dictionary of their own.
    global _seen
    there = internals.app_configs()
    if _seen[0] is not there:
        _seen = there, apps.is_installed("cq_channels")
    return _seen[1]


def up_to_date(task: T) -> T:
    """Return a handle as its row is, where the task may have run here by now."""
    using = task._state.db
    if (
        runs_here()
        and using
        and (conf.SERIAL or not connections[using].in_atomic_block)
    ):
        with contextlib.suppress(ObjectDoesNotExist):  # kept for no time at all
            hydration.read_again(task)
    return task


class InlineRunner(threading.local):
    """The queue of each thread, which is flat: a task that queues others does not nest them."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, UUID]] = deque()
        self.running = False
        #: Run inside the transaction of a task that waited; undone if that is.
        self.again: list[tuple[str, UUID]] = []

    def ring(self, using: str, ready: Ready) -> None:
        """Run these, and what they queue, before returning."""
        if not runs_here():
            return
        self.waiting.extend((using, task_id) for task_id, _ in ready)
        if not self.running:
            self.drain()

    def drain(self) -> None:
        """Run what this thread has queued. May be called from within a task."""
        before, self.running = self.running, True
        try:
            while self.waiting:
                using, task_id = self.waiting.popleft()
                if before and connections[using].in_atomic_block:
                    self.again.append((using, task_id))
                self._run(using, task_id)
                if not before and self.again:
                    # A claim passes over what has run for good.
                    self.waiting.extend(self.again)
                    self.again = []
        finally:
            self.running = before

    def _run(self, using: str, task_id: UUID) -> None:
        try:
            lease = inline_lease(using)
            # In an open transaction nobody else sees the lease, or its tasks.
            open_ = connections[using].in_atomic_block
            with contextlib.nullcontext() if open_ else lease.beating():
                for task in claim_task(using, lease.worker, task_id):
                    marks.mark(task.root_id)
                    sync_runner.execute(task)
                    marks.mark(task.root_id)
        except Exception:
            # Whoever committed has nothing to do with what was run after it.
            logger.exception("task %s could not be run here", task_id)


def claim_task(using: str, worker: int, task_id: UUID) -> list[TaskRow]:
    """Claim this very task, if it is still QUEUED."""
    param = uuid_param(connections[using], task_id)
    return lifecycle.claim(using, worker, "id = %s", [param], 1)


_leases: dict[tuple[str, int], Lease] = {}
_leases_lock = threading.Lock()


@atexit.register
def _unlock_mine() -> None:
    # Not those of a process that this one was forked from.
    for (_, pid), lease in _leases.items():
        if pid == os.getpid():
            lease.unlock()


def inline_lease(using: str) -> Lease:
    """Return this process's lease, registered."""
    with _leases_lock:
        key = (using, os.getpid())
        lease = _leases.get(key)
        if lease is None:
            lease = _leases[key] = Lease(using, "inline", beaten=partial(learn, using))
        # Each time: the row may have been rolled back with somebody's transaction.
        lease.register()
        return lease


#: Leases of this process that are given up behind the one task they are for.
_passing: set[int] = set()


@contextlib.contextmanager
def passing_lease(using: str) -> Iterator[Lease]:
    """A lease for one task that this process runs by the way, where workers run the rest.

    It is nobody's who looks for workers when that is over.
    """
    lease = Lease(using, "inline")
    lease.register()
    _passing.add(lease.worker)
    try:
        yield lease
    finally:
        _passing.discard(lease.worker)
        # Without its row, what it may still hold is found by any rescuer.
        with contextlib.suppress(Error):
            lease.close()
        lease.unlock()
        own_workers.discard(lease.worker)


def runs_by_the_way(using: str, worker: int) -> bool:
    """Tell whether this process has something else to do than what it runs as a worker."""
    lease = _leases.get((using, os.getpid()))
    return worker in _passing or (lease is not None and lease.worker == worker)


def run_now(lease: Lease, task: TaskRow) -> None:
    """Run a task that was claimed for a lease; what it queues here follows behind it."""
    open_ = connections[lease.using].in_atomic_block
    with held_back(), contextlib.nullcontext() if open_ else lease.beating():
        sync_runner.execute(task)


inline_runner = InlineRunner()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let tasks that are queued on this thread run behind the block, not within it."""
    before, inline_runner.running = inline_runner.running, True
    try:
        yield
    finally:
        inline_runner.running = before
        if not before:
            inline_runner.drain()


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Let tasks that are queued on this thread stay QUEUED, to be picked in order.

    With cq-core alone they would run right after the commit that queued them, one
    within the other's report, where no stop is heeded and no queue is chosen. A task
    that waits for another still has that run.
    """
    before = inline_runner.running, inline_runner.waiting
    inline_runner.running, inline_runner.waiting = True, deque()
    try:
        yield
    finally:
        inline_runner.running, inline_runner.waiting = before
