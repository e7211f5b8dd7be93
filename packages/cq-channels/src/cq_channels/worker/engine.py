"""The worker of one process: it claims for its slots, and stops without losing anything.

Nothing kept in memory is needed to get a task done: the rows say all of it. So each part
may fail by itself. The claimer gives tasks to the slots (threads, and one event loop);
the slots give finished runs to the completer, which settles them in batches; maintenance
queues what is due, sweeps, rescues the tasks of dead workers, and drives the scheduler.
When one of their threads dies the engine is `broken`, and somebody has to end the
process.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from django.db import DatabaseError, connections

from cq import signals
from cq.conf import conf
from cq.hooks import announce
from cq.hooks.around import check_settings
from cq.live.answering import answering_lease
from cq.logs import writer
from cq.runs import stopping
from cq.runs.watcher import watcher
from cq.workers import doorbell
from cq_channels.doorbells.listener import DoorbellListener
from cq_channels.own_threads import limit_lock_waits
from cq_channels.slots.event_loop import LoopSlots
from cq_channels.slots.threads import ThreadSlots

from .claimer import Claimer
from .claims.giving_back import give_up
from .completer import BatchCompleter
from .in_flight import InFlight
from .maintenance import Maintenance
from .slot_observer import SlotObserver
from .task_lines import TaskLines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from cq.lifecycle import Claim
    from cq.tables.rows import TaskRow
    from cq.workers.lease import Lease

    from .in_flight import Supervision

logger = logging.getLogger("cq.worker")

DEFAULT_THREADS = 4
DEFAULT_COROUTINES = 200
#: Seconds that each part gets to end, once what runs has ended or has had its time.
CLOSE_TIMEOUT_SECONDS = 1.0


class Engine:
    """The worker of this process for the tasks of one database, until it is stopped.

    threads: slots for sync tasks. coroutines: slots on the event loop.
    queues, exclude: names of queues to serve, or not to; None: all.
    lease: the one to hold; None: one of its own, that it keeps by itself.
    shared_page: where to note what has begun to run, for a supervisor.
    max_tasks: tasks to claim at most; None: no end.
    burst: whether somebody waits for it to be `idle`.
    tells_failures: whether the lines of runs tell of failures too, see `TaskLines`.
    on_broken: called when a thread has died, on that thread. on_spoiled: called when a
    task has made the process useless for others, on that task's thread.
    """

    def __init__(
        self,
        using: str,
        *,
        threads: int = DEFAULT_THREADS,
        coroutines: int = DEFAULT_COROUTINES,
        queues: list[str] | None = None,
        exclude: list[str] | None = None,
        scheduler: bool = True,
        lease: Lease | None = None,
        shared_page: Supervision | None = None,
        max_tasks: int | None = None,
        burst: bool = False,
        tells_failures: bool = False,
        on_broken: Callable[[], None] | None = None,
        on_spoiled: Callable[[], None] | None = None,
    ) -> None:
        self.using = using
        self.lease = lease or answering_lease(
            using, "worker", queues=queues, slots=threads, locks=True
        )
        # Not the claimer's methods themselves, here and below: it is made last.
        self.in_flight = InFlight(shared_page, lambda: self.claimer.lane_ended())
        self._lines = TaskLines(failures=tells_failures)
        self.completer = BatchCompleter(
            using,
            self._written,
            lambda: self.threads.waiting > 0,
            self._thread_died,
            # A lock file says nothing of whether the database can be written.
            lambda: connections[using].vendor != "sqlite" and self.lease.healthy,
        )
        self.threads = ThreadSlots(
            threads,
            self.completer,
            self._observer(lambda: self.claimer.thread_came_free()),
        )
        self.loop = LoopSlots(
            coroutines,
            threads,
            self.completer,
            self._observer(lambda: self.claimer.slot_came_free()),
        )
        self.claimer = Claimer(
            self.lease,
            self.threads,
            self.loop,
            self.in_flight,
            queues,
            exclude,
            max_tasks,
            self._thread_died,
        )
        self.claimer.burst = burst
        self.listener = DoorbellListener(using, self.claimer.wake, self._thread_died)
        self.maintenance = Maintenance(
            using,
            self.lease.worker,
            self.in_flight,
            scheduler,
            partial(self.claimer.wake, None),
            self._thread_died,
            self.claimer.looked,
            self.claimer.lanes.mend,
        )
        #: Whether a thread has died without which it is no worker any more.
        self.broken = False
        #: Why this process is to be replaced, once what runs has ended; None: it is not.
        self.spoiled: str | None = None
        self._told_to_stop = threading.Event()
        self._on_broken, self._on_spoiled = on_broken, on_spoiled

    def start(self) -> None:
        """Take the lease and start all threads.

        Raises ImproperlyConfigured where the settings name hooks that there are not.
        """
        check_settings()
        watcher.report_limits(self.in_flight.limit)
        stopping.watch(self.lease.worker, self._told_to_stop.is_set)
        self.lease.register()
        self.lease.start_beating()
        announce.worker(signals.worker_started, self.using, self.lease.worker)
        self.completer.start()
        self.threads.start()
        self.loop.start()
        self.claimer.start()
        self.listener.start()
        doorbell.register(self)
        self.maintenance.start()
        logger.debug("worker %d started", self.lease.worker)

    def ring(self, using: str, ready: Sequence[tuple[UUID, str]]) -> None:
        """Hear of tasks that this very process has queued."""
        if using == self.using:
            self.claimer.wake(ready)

    def due_in(self, using: str, seconds: float) -> None:
        """Hear of a task that is due in so many seconds."""
        if using == self.using:
            self.maintenance.postponed(seconds)

    def wake(self, ready: Sequence[tuple[UUID, str]] | None) -> None:
        """Hear a message: look at these tasks, or with None at the table."""
        self.claimer.wake(ready)

    @property
    def idle(self) -> bool:
        """Whether the last look found nothing, and nothing runs. For a burst."""
        # In this order: what is given back leaves a hint before it is in flight no more.
        return not len(self.in_flight) and self.claimer.idle

    @property
    def spent(self) -> bool:
        """Whether it has claimed as many tasks as it may."""
        return self.claimer.tasks_left == 0

    @property
    def empty(self) -> bool:
        """Whether nothing is claimed."""
        return not len(self.in_flight)

    def _observer(self, slot_freed: Callable[[], None]) -> SlotObserver:
        return SlotObserver(
            self.in_flight,
            slot_freed,
            self._thread_died,
            self._spoiled,
            self._lines,
            lambda seconds: self.maintenance.postponed(seconds),
        )

    def _written(self, claim: Claim) -> None:
        self.in_flight.drop(claim)
        if self.claimer.run_alone.busy:
            self.claimer.slot_came_free()

    def _thread_died(self, thread: str) -> None:
        self.broken = True
        if self._on_broken is not None:
            self._on_broken()

    def _spoiled(self, why: str) -> None:
        first, self.spoiled = self.spoiled is None, why
        if first and self._on_spoiled is not None:
            self._on_spoiled()

    def check_threads(self) -> None:
        """Find a thread that has ended without telling of it."""
        if not (self.threads.alive and self.loop.alive):
            self._thread_died("")

    # --- stopping ---------------------------------------------------------------------

    def announce_stop(self) -> None:
        """Let what runs know, by `cqt.stopping`; may be called on any thread."""
        self._told_to_stop.set()

    def pause(self) -> None:
        """Claim no more, for good; what has begun runs on."""
        self.claimer.stop()
        try:
            self.claimer.give_back(self.claimer.take_back())
        except DatabaseError as error:
            logger.warning("claims are left to the rescuer: %s", error)
        finally:
            connections[self.using].close()

    def stop(self, drain: float | None = None) -> None:
        """Claim no more, and give what runs `drain` seconds to end.

        What has not ended then is handed back, or is LOST where it may not run twice.
        """
        drain = conf.DRAIN if drain is None else drain
        end = time.monotonic() + drain
        self.announce_stop()
        self.claimer.stop()
        announce.worker(signals.worker_stopping, self.using, self.lease.worker)
        self.maintenance.stop_scheduling()
        doorbell.unregister(self)
        waiting = self.claimer.take_back()
        self.threads.close()
        ended = self.loop.join(max(0.0, end - time.monotonic()))
        ended &= self.threads.join(max(0.0, end - time.monotonic()))
        self.loop.close()
        watcher.stop_reporting()
        self.completer.close()
        self.maintenance.stop(CLOSE_TIMEOUT_SECONDS)
        self.listener.stop()
        writer.writer.close(CLOSE_TIMEOUT_SECONDS)
        self._close_lease(waiting, ended)
        if ended:
            stopping.forget(self.lease.worker)

    @limit_lock_waits()
    def _close_lease(self, waiting: list[TaskRow], ended: bool) -> None:
        """Leave nothing claimed, and no lease, as far as the database lets us."""
        connection = connections[self.using]
        try:
            if connection.vendor == "sqlite":
                milliseconds = round(CLOSE_TIMEOUT_SECONDS * 1000)
                with connection.cursor() as cursor:
                    cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self.claimer.give_back(waiting)
            self.claimer.lanes.flush()
            if not ended:
                give_up(self.using, self.in_flight)
            self.maintenance.write_figures()
            if not self.in_flight.places.some_held:
                # Else what runs on has its places by this row, until the process has ended.
                self.lease.close()
        except DatabaseError as error:
            # On SQLite a task that runs on may hold the write lock. It ends with this
            # process, and so does the lock file by which others know that we live.
            logger.warning("claims are left to the rescuer: %s", error)
        finally:
            connection.close()
        ran = self.in_flight.ended
        logger.info("worker %d ran %d task%s", self.lease.worker, ran, "s"[ran == 1 :])
