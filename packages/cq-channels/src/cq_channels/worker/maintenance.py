"""The maintenance that each worker does, on one thread.

For all: it queues what is due, sweeps, prunes, rescues, counts the queues. For its own
runs: it looks whether they were revoked, writes their logs and figures, and rings for what
they queue.
"""

from __future__ import annotations

import heapq
import logging
import math
import random
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections

from cq.conf import conf
from cq.db import outage, statements
from cq.figures.writer import writer as figures
from cq.logs import writer
from cq.maintenance import probe, prune, rescue, sweep
from cq.metrics import depths
from cq.runs.watcher import watcher
from cq.tables.queries import tasks
from cq.watching import watchers
from cq.watching.marks import marks
from cq.workers import pauses
from cq.workers.session_locks import LockObserver
from cq_channels.doorbells.worker_connection import WorkerConnection, rings_by_notify
from cq_channels.live_messages.sender import LiveSender

from .periodic import PeriodicJobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from .in_flight import InFlight


logger = logging.getLogger("cq.worker")

#: Seconds to the next look for trees past their time to live: after a look that found
#: none, and after one that found as many as it takes at once.
SECONDS_BETWEEN_PRUNES, BUSY_PRUNE_SECONDS = 60.0, 0.1

#: Moments of postponed tasks to know; the others are found by the look of each CQ_POLL.
MAX_MOMENTS = 10_000

_QUEUE_DUE = "look for what is due"
_WRITE_LOGS = "write the logs"
_RING_WORKERS = "ring the workers"


class Maintenance:
    """The maintenance jobs of the worker with this id.

    scheduler: whether to make tasks by the schedules, too.
    found_work: called when there are tasks QUEUED, whether or not anybody rang for them.
    looked: called with what each look found, and when it began. mend: called by each
    sweep where there are limits.
    """

    def __init__(
        self,
        using: str,
        worker: int,
        in_flight: InFlight,
        scheduler: bool,
        found_work: Callable[[], None],
        died: Callable[[str], None],
        looked: Callable[[probe.Urgent, float], None] = lambda work, began: None,
        mend: Callable[[], None] = lambda: None,
    ) -> None:
        self._mend = mend
        self.using = using
        self._found_work, self._looked = found_work, looked
        self._some_paused = False
        self.worker = worker
        self.in_flight = in_flight
        self._lock_observer = LockObserver()
        self._live = LiveSender(using)
        #: When tasks that this process has postponed are due, by the monotonic clock.
        self._moments: list[float] = []
        self._lock = threading.Lock()
        self._schedules = _schedules(using) if scheduler and conf.SCHEDULER else None
        jobs: dict[str, Callable[[], float]] = {
            _QUEUE_DUE: self._queue_due,
            "sweep": self._sweep,
            "prune": self._prune,
            "count the queues": self._count_queues,
        }
        # On SQLite a sweep may wait long for the one write lock, and connections cost
        # nothing: there runs are watched, and logs written, on threads of their own.
        self._spares_threads = connections[using].vendor != "sqlite"
        if self._spares_threads:
            jobs["look at what runs"] = watcher.check_claims
            jobs[_WRITE_LOGS] = writer.writer.flush
            jobs["write the figures"] = figures.flush
        if self._schedules is not None:
            jobs["look at the schedules"] = self._tick
        self._worker_connection: WorkerConnection | None = None
        if rings_by_notify(using):
            # Not a partial: the jobs are made last, with this one among them.
            self._worker_connection = WorkerConnection(
                using, lambda within: self._jobs.wake(_RING_WORKERS, within)
            )
            jobs[_RING_WORKERS] = self._worker_connection.send
        self._jobs = PeriodicJobs(using, jobs, died)

    def start(self) -> None:
        if self._spares_threads:
            watcher.stop_polling()
            writer.writer.attach(
                partial(self._jobs.wake, _WRITE_LOGS, writer.SECONDS_BETWEEN_WRITES)
            )
            figures.attach()
        marks.attach(self._live.tell)
        if self._worker_connection is not None:
            self._worker_connection.install()
        self._jobs.start()

    def postponed(self, seconds: float) -> None:
        """Look for what is due in so many seconds, for a task is to run again then."""
        with self._lock:
            if len(self._moments) >= MAX_MOMENTS:
                return
            heapq.heappush(self._moments, time.monotonic() + seconds)
        self._jobs.wake(_QUEUE_DUE, seconds)

    def _next_moment(self) -> float:
        """Return the seconds to the next moment that is known, or infinity."""
        now = time.monotonic()
        with self._lock:
            while self._moments and self._moments[0] <= now:
                heapq.heappop(self._moments)
            return self._moments[0] - now if self._moments else math.inf

    def stop_scheduling(self) -> None:
        """Make no more tasks by the schedules, from the next look on."""
        self._schedules = None

    def stop(self, timeout: float) -> None:
        self._jobs.stop(timeout)
        if self._spares_threads:
            watcher.resume_polling()
            writer.writer.detach()
            figures.detach()
        marks.detach()
        self._live.close()
        if self._worker_connection is not None:
            self._worker_connection.uninstall()

    def write_figures(self) -> None:
        """Write what was counted last, on the caller's thread: for the very end."""
        figures.flush()

    def _queue_due(self) -> float:
        # First: of a moment that comes during the look, there is another.
        known, began = self._next_moment(), time.monotonic()
        work = probe.urgent(self.using)
        self._looked(work, began)
        self._some_paused = work.paused
        outage.ended(logger)
        is_full = work.due and sweep.queue_due(self.using) >= statements.BATCH
        if work.unlocked:
            rescue.rescue_unlocked(self.using, self._lock_observer)
        else:
            self._lock_observer.forget()
        if work.queued:
            self._found_work()
        if work.watched or marks.watched:
            watchers.learn(self.using)
        if is_full:
            return 0.0  # behind the other jobs whose time it is
        # Sooner where a worker may be dead: as soon as that can be told for certain.
        wait: float = min(conf.POLL, self._lock_observer.wait(), known)
        return wait

    def _sweep(self) -> float:
        left = probe.sweepable(self.using)
        sweep.sweep_up(self.using, left)
        mine = tasks(self.using).filter(worker=self.worker)
        running = list(mine.values_list("pk", flat=True)) if left.claimed else []
        self._rescue_orphans(running)
        if left.limits:
            self._mend()
        if self._some_paused:
            pauses.delete_ended(self.using)
        if random.random() < sweep.THOROUGH_SHARE:
            sweep.sweep_thoroughly(self.using)
        # Jitter, so that a hundred workers don't sweep at one moment.
        pause: float = conf.SWEEP * random.uniform(0.8, 1.2)
        return pause

    def _prune(self) -> float:
        pruned = prune.prune(self.using)
        if pruned >= statements.BATCH:
            return BUSY_PRUNE_SECONDS
        pause: float = conf.SWEEP if pruned else SECONDS_BETWEEN_PRUNES
        return pause * random.uniform(0.8, 1.2)

    def _count_queues(self) -> float:
        depths.keep_minute(self.using)
        return depths.seconds_to_next_minute()

    def _tick(self) -> float:
        schedules = self._schedules
        wait: float = math.inf if schedules is None else schedules.run_once()
        return wait

    def _rescue_orphans(self, running: list[UUID]) -> None:
        """Rescue claims of ours whose run ended without its outcome being written."""
        orphans = self.in_flight.orphans(running)
        if orphans:
            reason = "its outcome could not be written"
            begun = set(orphans) - self.in_flight.excused(orphans)
            rescue.rescue(self.using, self.worker, reason, only=orphans, begun=begun)


def _schedules(using: str) -> Any:
    """Return the schedules of cq-scheduler, where that is installed."""
    if not apps.is_installed("cq_scheduler"):
        return None
    return apps.get_app_config("cq_scheduler").make_tick_loop(using)  # type: ignore[attr-defined]
