"""Runs on this thread what is due: ``manage.py cq run``, and the scheduler with it.

One task at a time, in the order of priority and age. cq-channels has the worker that
runs many at once; both may serve one table.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections import deque
from typing import TYPE_CHECKING

from django.db import connections

from . import outage, rescue, runner
from .conf import conf
from .leases import Lease
from .local import local_runner
from .locks import LockLooks
from .picking import claim_next
from .sweep import THOROUGH, due, sweep

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from datetime import datetime

    from .models import Task

logger = logging.getLogger("cq.serving")

#: Seconds between two tries while the database is out of reach: the first, the longest.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def serve(
    using: str,
    stop: threading.Event,
    *,
    once: bool,
    queues: list[str] | None = None,
) -> int:
    """Run what is QUEUED until nothing is left (`once`) or until `stop`; how many.

    queues: names of the queues to serve; None: all. A stop is heeded between two
    tasks. With `once` a DatabaseError ends it; without, it is logged and tried again.
    """
    lease = Lease(using, "run", queues=queues, locks=not once)
    server = _Server(lease, stop, queues)
    with left_to_the_table():
        try:
            if once:
                server.run_once()
            else:
                server.run_until_stopped()
        finally:
            with contextlib.suppress(Exception):
                # Without its row, what it may still hold is found by any rescuer.
                lease.close()
    return server.count


class _Server:
    """What :func:`serve` has come to."""

    def __init__(
        self, lease: Lease, stop: threading.Event, queues: list[str] | None
    ) -> None:
        self.lease = lease
        self.using = lease.using
        self.stop = stop
        self.queues = queues
        self.count = 0

    def run_once(self) -> None:
        self.lease.register()
        with self.lease.beating():
            # Again after what ran: it took its time, and others have come to theirs.
            while sweep(self.using) + self._run_queued() and not self.stop.is_set():
                pass

    def run_until_stopped(self) -> None:
        pause = FIRST_PAUSE
        next_sweep = 0.0
        looks = LockLooks()
        while not self.stop.is_set():
            try:
                if time.monotonic() >= next_sweep:
                    # Also after trouble: a run whose outcome could not be written is
                    # still ours by the table, and nothing runs at this moment.
                    self.lease.register()
                    self.lease.start_beating()
                    rescue.rescue(self.using, self.lease.worker, _UNWRITTEN)
                    sweep(self.using, thorough=random.random() < THOROUGH)
                    # Jitter, so that many processes don't sweep at one moment.
                    between = conf.SWEEP * random.uniform(0.8, 1.2)
                    next_sweep = time.monotonic() + between
                due(self.using)
                rescue.rescue_unlocked(self.using, looks)
                self._run_queued(until=next_sweep)
                pause = FIRST_PAUSE
                self.stop.wait(min(conf.POLL, max(0.0, next_sweep - time.monotonic())))
            except Exception as error:
                logger.log(
                    outage.level(error),
                    "could not serve %r; next try in %.1f s",
                    self.using,
                    pause,
                    exc_info=True,
                )
                connections[self.using].close()
                next_sweep = 0.0
                self.stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _run_queued(self, until: float | None = None) -> int:
        """Run one task after the other; how many. until: by the monotonic clock."""
        count = 0
        while not self.stop.is_set() and (until is None or time.monotonic() < until):
            connections[self.using].close_if_unusable_or_obsolete()
            if not self.lease.healthy:
                self.lease.register()
            if run_next(self.using, self.lease.worker, self.queues) is None:
                break
            count += 1
            self.count += 1
        return count


_UNWRITTEN = "its outcome could not be written"


def run_next(
    using: str,
    worker: int,
    queues: list[str] | None = None,
    now: datetime | None = None,
) -> Task | None:
    """Claim the next task and run it; None when there is none.

    To be called within :func:`left_to_the_table`.
    """
    local_runner.waiting.clear()
    for task in claim_next(using, worker, 1, queues, now=now):
        runner.execute(task, now=now)
        return task
    return None


@contextlib.contextmanager
def left_to_the_table() -> Iterator[None]:
    """Let tasks that are queued on this thread stay QUEUED, to be picked in order.

    With cq-core alone they would run right after the commit that queued them, one
    within the other's report, where no stop is heeded and no queue is chosen. A task
    that waits for another still has that run.
    """
    before = local_runner.running, local_runner.waiting
    local_runner.running, local_runner.waiting = True, deque()
    try:
        yield
    finally:
        local_runner.running, local_runner.waiting = before
