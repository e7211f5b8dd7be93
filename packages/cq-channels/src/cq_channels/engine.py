"""The worker: claims for its slots, keeps its lease, stops without losing anything.

What is held in memory carries no responsibility: the rows do. So each part may fail by
itself. The claimer gives tasks to the slots (threads, and one event loop), these to the
completer, which settles finished runs in batches; maintenance queues what is due,
sweeps, rescues the tasks of dead workers, and drives the scheduler. Should one of their
threads die, that is `broken`, and somebody has to end the process.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from django.db import DatabaseError, connections

from cq import doorbell, log_writer, rescue
from cq.conf import conf
from cq.leases import Lease
from cq.rows import tasks
from cq.watching import watcher

from .claimer import Claimer
from .completer import BatchCompleter
from .held import Held, claim_of
from .listening import Listening
from .lock_patience import limited
from .loop import LoopSlots
from .maintenance import Maintenance
from .threads import ThreadSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from cq.lifecycle import Claim
    from cq.models import Task

    from .board import Board

logger = logging.getLogger("cq.worker")

THREADS = 4
COROUTINES = 200
#: Seconds for each of the things that are put away at the end.
LONGEST_GOODBYE = 1.0


class Engine:
    """Runs the tasks of one database in this process, until it is stopped.

    threads: slots for sync tasks. coroutines: slots on the event loop.
    queues, exclude: names of queues to serve, or not to; None: all.
    lease: the one to hold; None: one of its own, that it keeps by itself.
    board: where to note what has begun to run, for a supervisor.
    max_tasks: tasks to claim at most; None: no end.
    on_broken: called when a thread has died, on that thread.
    """

    def __init__(
        self,
        using: str,
        *,
        threads: int = THREADS,
        coroutines: int = COROUTINES,
        queues: list[str] | None = None,
        exclude: list[str] | None = None,
        scheduler: bool = True,
        lease: Lease | None = None,
        board: Board | None = None,
        max_tasks: int | None = None,
        on_broken: Callable[[], None] | None = None,
    ) -> None:
        self.using = using
        self.lease = lease or Lease(
            using, "worker", queues=queues, slots=threads, locks=True
        )
        self.held = Held(board)
        self.completer = BatchCompleter(
            using, self._written, lambda: self.threads.waiting > 0, self._died
        )
        self.threads = ThreadSlots(
            threads,
            self.completer,
            self.held.begin,
            self._thread_finished,
            self.held.unwritten,
            self._died,
        )
        self.loop = LoopSlots(
            coroutines,
            threads,
            self.completer,
            self.held.begin,
            self._coroutine_finished,
            self.held.unwritten,
            self._died,
        )
        self.claimer = Claimer(
            self.lease,
            self.threads,
            self.loop,
            self.held,
            queues,
            exclude,
            max_tasks,
            self._died,
        )
        self.listening = Listening(using, self.claimer.wake, self._died)
        self.maintenance = Maintenance(
            using,
            self.lease.worker,
            self.held,
            scheduler,
            partial(self.claimer.wake, None),
            self._died,
        )
        #: Whether a thread has died without which it is no worker any more.
        self.broken = False
        self._on_broken = on_broken

    def start(self) -> None:
        """Take the lease and start all threads."""
        watcher.tell_limit = self.held.limit
        self.lease.register()
        self.lease.start_beating()
        self.completer.start()
        self.threads.start()
        self.loop.start()
        self.claimer.start()
        self.listening.start()
        doorbell.register(self)
        self.maintenance.start()
        logger.info("worker %d started", self.lease.worker)

    def ring(self, using: str, ready: Sequence[tuple[UUID, str]]) -> None:
        """Hear what this very process has queued."""
        if using == self.using:
            self.claimer.wake(ready)

    def wake(self, ready: Sequence[tuple[UUID, str]] | None) -> None:
        """Hear a message: look at these tasks, or with None at the table."""
        self.claimer.wake(ready)

    @property
    def idle(self) -> bool:
        """Whether the last look found nothing, and nothing runs."""
        return self.claimer.idle and not len(self.held)

    @property
    def spent(self) -> bool:
        """Whether it has claimed as many tasks as it may."""
        return self.claimer.left == 0

    @property
    def empty(self) -> bool:
        """Whether nothing is claimed."""
        return not len(self.held)

    def _finished(self, task: Task, handed_over: bool) -> None:
        if handed_over:
            self.held.finish(task)
        else:
            self.held.drop(claim_of(task))

    def _thread_finished(self, task: Task, handed_over: bool) -> None:
        self._finished(task, handed_over)
        self.claimer.thread_came_free()

    def _coroutine_finished(self, task: Task, handed_over: bool) -> None:
        self._finished(task, handed_over)
        self.claimer.slot_came_free()

    def _written(self, claim: Claim) -> None:
        self.held.drop(claim)
        if self.claimer.alone.busy:
            self.claimer.slot_came_free()

    def _died(self, thread: str) -> None:
        self.broken = True
        if self._on_broken is not None:
            self._on_broken()

    # --- stopping ---------------------------------------------------------------------

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
        self.claimer.stop()
        self.maintenance.stop_scheduling()
        doorbell.unregister(self)
        waiting = self.claimer.take_back()
        self.threads.close()
        ended = self.loop.join(max(0.0, end - time.monotonic()))
        ended &= self.threads.join(max(0.0, end - time.monotonic()))
        self.loop.close()
        watcher.tell_limit = None
        self.completer.close()
        self.maintenance.stop(LONGEST_GOODBYE)
        self.listening.stop()
        log_writer.writer.close(LONGEST_GOODBYE)
        self._say_goodbye(waiting, ended)

    @limited()
    def _say_goodbye(self, waiting: list[Task], ended: bool) -> None:
        """Leave nothing claimed, and no lease, as far as the database lets us."""
        connection = connections[self.using]
        try:
            if connection.vendor == "sqlite":
                milliseconds = round(LONGEST_GOODBYE * 1000)
                with connection.cursor() as cursor:
                    cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self.claimer.give_back(waiting)
            if not ended:
                self._release_claims()
            self.lease.close()
        except DatabaseError as error:
            # On SQLite a task that runs on may hold the write lock. It ends with this
            # process, and so does the lock by which others know that we live.
            logger.warning("claims are left to the rescuer: %s", error)
        finally:
            connection.close()
        logger.info("worker %d ran %d tasks", self.lease.worker, self.held.ended)

    def _release_claims(self) -> None:
        for claim in self.held.all():
            again = tasks(self.using).filter(pk=claim.id, rerun_lost=True).exists()
            if again:
                doorbell.ring(self.using, rescue.hand_back(self.using, claim))
            else:
                rescue.rescue(self.using, claim.worker, "drained", only=[claim.id])
            logger.warning(
                "task %s was still running after the drain: %s",
                claim.id,
                "handed back" if again else "LOST",
            )
