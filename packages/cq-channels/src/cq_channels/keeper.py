"""Keeps the leases of a supervisor's processes, and cleans up after the dead ones.

On a thread of its own, with the only database connection of the supervisor: signals
are heard while the database is slow, or gone.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import connections

from cq import doorbell, leases, rescue
from cq.clock import Moment
from cq.conf import conf
from cq.leases import Lease
from cq.lifecycle import Claim
from cq.locks import SessionLocks
from cq.rows import tasks, workers
from cq.serving import left_to_the_table

from .lock_patience import limited

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from .processes import Process

logger = logging.getLogger("cq.worker")

#: Seconds between two warnings that a heartbeat came to nothing.
QUIET = 60.0
#: Seconds until a dead process's tasks are looked for once more: the database may have
#: been at a statement of it when it died.
AGAIN = 2.0
#: Why a task has lost its worker that could not be ended.
RAN_ON = (
    "it ran on after its timeout or its revocation, in code that cannot be interrupted, "
    "and its process was killed"
)


@dataclass
class Death:
    """A process that is gone, of which something may be left in the tables."""

    worker: int
    #: The tasks that it had begun; None: may be any.
    begun: set[UUID] | None
    reason: str
    #: Whether it was meant to end: then no task has lost a worker.
    meant: bool
    #: Tasks that could not be ended: that it was meant to end is for their sake.
    stuck: frozenset[UUID] = frozenset()
    #: When to look, by ``time.monotonic()``, and how often still.
    due: float = field(default_factory=time.monotonic)
    looks: int = 2


class Keeper:
    """Beats for the living, rescues for the dead.

    queues, slots: of each process. health_file: touched with each heartbeat that
    reached the database while a process was ready to run tasks.
    """

    def __init__(
        self,
        using: str,
        queues: list[str] | None,
        slots: int,
        health_file: Path | None = None,
    ) -> None:
        self.using = using
        self.queues = queues
        self.slots = slots
        self.health_file = health_file
        #: Ids of workers that have ended, whose tasks have not been looked for yet.
        self.unsettled: set[int] = set()
        self._living: list[Process] = []
        self._deaths: list[Death] = []
        # No SimpleQueue: where a process was frozen beyond the timeout of its `get`,
        # CPython 3.11's waits for ever.
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._locks = SessionLocks(using)
        self._closing = False
        self._next_beat = 0.0
        self._warn_at = 0.0
        self._thread = threading.Thread(
            target=self._work, name="cq-heartbeat", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def keep(self, process: Process) -> None:
        """Beat for a process that has registered, from now on."""

        def job() -> None:
            self._living.append(process)
            # At once: until it has its lock, nothing but its lease tells of its death.
            self._next_beat = 0.0

        self._jobs.put(job)

    def bury(self, process: Process, reason: str, meant: bool) -> None:
        """Clean up after a process that has ended, and give its board back."""
        stuck = frozenset(process.stuck)
        death = Death(process.worker, process.board.begun(), reason, meant, stuck)
        self.unsettled.add(process.worker)

        def job() -> None:
            self._living = [p for p in self._living if p is not process]
            # Here, where no heartbeat is noted on it any more.
            process.board.close()
            self._deaths.append(death)

        self._jobs.put(job)

    def close(self, timeout: float) -> bool:
        """Clean up after all that have ended, within `timeout` seconds if possible."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # --- on the thread ----------------------------------------------------------------

    @limited()
    def _work(self) -> None:
        try:
            with left_to_the_table():
                self._keep()
        finally:
            connections[self.using].close()

    def _keep(self) -> None:
        while not (self._closing and not self._deaths):
            due = [death.due for death in self._deaths]
            if not self._closing:
                due.append(self._next_beat)
            self._take_jobs(max(0.0, min(due) - time.monotonic()))
            try:
                self._settle_deaths()
                if time.monotonic() >= self._next_beat and not self._closing:
                    self._next_beat = time.monotonic() + conf.HEARTBEAT
                    self._beat()
            except Exception as error:
                self._failed(error)

    def _take_jobs(self, wait: float) -> None:
        try:
            job = self._jobs.get(timeout=wait) if wait else self._jobs.get_nowait()
            while True:
                if job is None:
                    self._closing = True
                    for death in self._deaths:
                        death.due = 0.0
                else:
                    job()
                job = self._jobs.get_nowait()
        except queue.Empty:
            pass

    def _failed(self, error: Exception) -> None:
        connections[self.using].close()
        # Soon, for without their locks the living are taken for dead.
        again = time.monotonic() + min(conf.HEARTBEAT, leases.AGAIN)
        self._next_beat = min(self._next_beat, again)
        for death in self._deaths:
            death.due = max(death.due, again)
        self._warn("no heartbeat could be written", error)

    def _warn(self, what: str, error: Exception) -> None:
        if time.monotonic() >= self._warn_at:
            self._warn_at = time.monotonic() + QUIET
            logger.warning("%s: %s", what, error)

    # --- the living -------------------------------------------------------------------

    def _beat(self) -> None:
        before = time.monotonic()
        living = list(self._living)
        ids = {process.worker for process in living}
        rows = workers(self.using).filter(pk__in=ids)
        if leases.lock_path(self.using, 0) is not None:
            # Their lock files tell that they live; only look whether it can be read.
            rows.exists()
        else:
            locked = self._locks.hold(ids) == ids
            if rows.update(last_seen=Moment(), locked=locked) < len(living):
                self._register_again(living)
        for process in living:
            process.board.beaten = before
        if self.health_file is not None and living:
            try:
                self.health_file.touch()
            except OSError as error:
                self._warn("the health file could not be touched", error)

    def _register_again(self, living: list[Process]) -> None:
        """Register those who were taken for dead: no one but us beats for them."""
        for process in living:
            Lease(
                self.using,
                "worker",
                queues=self.queues,
                slots=self.slots,
                worker=process.worker,
                pid=process.pid,
            ).register()

    # --- the dead ---------------------------------------------------------------------

    def _settle_deaths(self) -> None:
        for death in list(self._deaths):
            if death.due > time.monotonic():
                continue
            settle(self.using, death)
            self.unsettled.discard(death.worker)
            death.looks -= 1
            death.due = time.monotonic() + AGAIN
            if not death.looks or self._closing:
                leases.forget(self.using, death.worker)
                self._deaths.remove(death)


def settle(using: str, death: Death) -> None:
    """Give back what a process that is gone had claimed, and count its losses."""
    if not death.meant:
        rescue.rescue(using, death.worker, death.reason, begun=death.begun)
        return
    if death.stuck:
        rescue.rescue(using, death.worker, RAN_ON, only=death.stuck)
    held = tasks(using).filter(worker=death.worker).order_by("pk")
    for pk, fence, again in list(held.values_list("pk", "fence", "rerun_lost")):
        if again or (death.begun is not None and pk not in death.begun):
            claim = Claim(pk, fence, death.worker)
            doorbell.ring(using, rescue.hand_back(using, claim))
        else:
            rescue.rescue(using, death.worker, death.reason, only=[pk])
