"""Runs tasks on the thread that queued them: what cq-core does without a worker."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import connections

from . import lifecycle, runner
from .conf import conf
from .leases import Lease
from .statements import uuid_param

if TYPE_CHECKING:
    from uuid import UUID

    from .doorbell import Ready
    from .models import Task

logger = logging.getLogger("cq.local")


def runs_here() -> bool:
    """Tell whether this process runs what it queues: ``CQ_SERIAL``, ``CQ_RUN_INLINE``."""
    if conf.SERIAL:
        return True
    inline = conf.RUN_INLINE
    if inline is None:
        return not apps.is_installed("cq_channels")
    return bool(inline)


class LocalRunner(threading.local):
    """A flat queue for each thread: a task that queues others does not nest them."""

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
            lease = local_lease(using)
            # In an open transaction nobody else sees the lease, or its tasks.
            open_ = connections[using].in_atomic_block
            with contextlib.nullcontext() if open_ else lease.beating():
                for task in claim_one(using, lease.worker, task_id):
                    runner.execute(task)
        except Exception:
            # Whoever committed has nothing to do with what was run after it.
            logger.exception("task %s could not be run here", task_id)


def claim_one(using: str, worker: int, task_id: UUID) -> list[Task]:
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


def local_lease(using: str) -> Lease:
    """Return this process's lease, registered."""
    with _leases_lock:
        key = (using, os.getpid())
        lease = _leases.get(key)
        if lease is None:
            lease = _leases[key] = Lease(using, "inline")
        # Each time: the row may have been rolled back with somebody's transaction.
        lease.register()
        return lease


local_runner = LocalRunner()
