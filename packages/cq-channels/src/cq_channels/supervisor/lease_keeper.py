"""The keeper of the leases of a supervisor's processes, and of the claims of dead ones.

It has a thread of its own, with the only database connection of the supervisor. So
signals are heard while the database is slow, or gone.
"""

from __future__ import annotations

import logging
import queue
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import connections
from django.db.models import BigIntegerField, Case, F, When

from cq.conf import conf
from cq.db import error_codes, outage
from cq.db.clock import Moment
from cq.execution.inline import suspended
from cq.lifecycle import Claim
from cq.limits.release import release_worker
from cq.maintenance import rescue
from cq.tables.queries import tasks, workers
from cq.workers import doorbell, lease, liveness, lock_files, requests
from cq.workers.lease import Lease
from cq.workers.session_locks import SessionLocks
from cq_channels.child.main import ANSWERS
from cq_channels.own_threads import CriticalThread, limit_lock_waits

from .requests import RequestAnswerer

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from .health import Health
    from .process import Process

logger = logging.getLogger("cq.worker")

#: Seconds.
SECONDS_BETWEEN_WARNINGS = 60.0
#: Seconds from the first release of a dead process's claims to the second: the database
#: may still have been at a statement of the process when it died, and that a claim.
SECOND_RELEASE_SECONDS = 2.0
#: The reason that is stored for a task that could not be ended.
STUCK_REASON = (
    "it ran on after its timeout or its revocation, in code that cannot be interrupted, "
    "and its process was killed"
)


@dataclass
class DeadProcess:
    """A process that has ended, and whose claims may still stand in the table."""

    worker: int
    #: The tasks that it had started; None: it may have been any.
    started: set[UUID] | None
    reason: str
    #: Whether it was to end: then no task is charged with a loss.
    expected: bool
    #: Tasks that could not be ended, because of which it was to end.
    stuck: frozenset[UUID] = frozenset()
    #: When its claims are to be released, by ``time.monotonic()``, and how often yet.
    due: float = field(default_factory=time.monotonic)
    releases_left: int = 2


class LeaseKeeper:
    """The heartbeats of a supervisor's processes, and the release of claims of dead ones.

    queues: what each process's row says of them. slots: of each process. died: called
    with its name when its thread has died, on that thread: nobody keeps the leases any
    more. health: told of each heartbeat that reached the database while a process was
    ready to run tasks.
    """

    def __init__(
        self,
        using: str,
        queues: list[str] | None,
        slots: int,
        died: Callable[[str], None],
        health: Health | None = None,
    ) -> None:
        self.using = using
        self.queues = queues
        self.slots = slots
        self.health = health
        #: Ids of workers that have ended, and whose claims were not released yet.
        self.unreleased: set[int] = set()
        self._living: list[Process] = []
        self._dead: list[DeadProcess] = []
        # Not a SimpleQueue: CPython 3.11's waits for ever in a process that was frozen
        # beyond the timeout of `get`.
        self._inbox: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._locks = SessionLocks(using)
        self._requests = RequestAnswerer(using, lambda: self._inbox.put(lambda: None))
        self._closing = False
        self._next_beat = 0.0
        self._next_warning = 0.0
        self._thread = CriticalThread(self._work, "cq-heartbeat", died)

    def start(self) -> None:
        self._thread.start()

    def watch(self, process: Process) -> None:
        """Send the heartbeats of a process that has registered, from now on."""

        def job() -> None:
            self._living.append(process)
            # At once: until it has its lock, nothing but its lease tells of its death.
            self._next_beat = 0.0

        self._inbox.put(job)

    def reap(self, process: Process, reason: str, expected: bool) -> None:
        """Release the claims of a process that has ended, and close its shared page."""
        stuck = frozenset(process.stuck)
        started = process.shared_page.started()
        dead = DeadProcess(process.worker, started, reason, expected, stuck)
        self.unreleased.add(process.worker)

        def job() -> None:
            self._living = [p for p in self._living if p is not process]
            # Closed here, where it is not among the living any more: no heartbeat is
            # written to it from now on.
            process.shared_page.close()
            self._dead.append(dead)

        self._inbox.put(job)

    def close(self, timeout: float) -> bool:
        """Release the claims of all that have ended, and end; return whether it has.

        timeout: seconds to wait for that.
        """
        self._inbox.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # --- on the thread ----------------------------------------------------------------

    @limit_lock_waits()
    def _work(self) -> None:
        try:
            with suspended():
                self._watch()
        finally:
            connections[self.using].close()

    def _watch(self) -> None:
        while not (self._closing and not self._dead):
            due = [dead.due for dead in self._dead]
            if not self._closing:
                due.append(self._next_beat)
            self._read_inbox(max(0.0, min(due) - time.monotonic()))
            try:
                self._release_dead()
                self._requests.keep_stacks()
                if time.monotonic() >= self._next_beat and not self._closing:
                    self._next_beat = time.monotonic() + conf.HEARTBEAT
                    self._beat()
            except Exception as error:
                self._failed(error)

    def _read_inbox(self, wait: float) -> None:
        try:
            job = self._inbox.get(timeout=wait) if wait else self._inbox.get_nowait()
            while True:
                if job is None:
                    self._closing = True
                    for dead in self._dead:
                        dead.due = 0.0
                else:
                    job()
                job = self._inbox.get_nowait()
        except queue.Empty:
            pass

    def _failed(self, error: Exception) -> None:
        connections[self.using].close()
        # Soon: without their locks the living processes are taken for dead.
        again = time.monotonic() + min(conf.HEARTBEAT, lease.RETRY_SECONDS)
        self._next_beat = min(self._next_beat, again)
        for dead in self._dead:
            dead.due = max(dead.due, again)
        if error_codes.is_out_of_reach(error):
            outage.log(logger, error, "no heartbeat could be written")
        else:
            self._warn("no heartbeat could be written", error)

    def _warn(self, what: str, error: Exception) -> None:
        if time.monotonic() >= self._next_warning:
            self._next_warning = time.monotonic() + SECONDS_BETWEEN_WARNINGS
            logger.warning("%s: %s", what, error)

    # --- the living -------------------------------------------------------------------

    def _beat(self) -> None:
        before = time.monotonic()
        living = list(self._living)
        ids = {process.worker for process in living}
        if lock_files.lock_path(self.using, 0) is not None:
            # Lock files tell that they live; the query finds out if the database can be
            # read.
            asked = requests.asked(self.using, ids)
            self._note(living, before)
        else:
            somebody_asks = self._touch(living, ids)
            self._note(living, before)
            asked = requests.asked(self.using, ids) if somebody_asks else {}
        self._requests.answer(living, asked)

    def _note(self, living: list[Process], before: float) -> None:
        """Note a heartbeat that has reached the database, and was begun then."""
        if living:
            outage.ended(logger)
        for process in living:
            process.shared_page.last_heartbeat = before
        if self.health is not None and living:
            try:
                self.health.beat()
            except OSError as error:
                self._warn("the health file could not be touched", error)

    def _touch(self, living: list[Process], ids: set[int]) -> bool:
        """Write a heartbeat to the rows of all; return whether anything may be asked."""
        locked = self._locks.hold(ids) == ids
        values = {"last_seen": Moment(), "locked": locked, "memory": _memory(living)}
        rows = workers(self.using).filter(pk__in=ids)
        if rows.filter(asked__isnull=True).update(**values) == len(living):
            return False
        # One is gone, or somebody asks something of it.
        if rows.update(**values) < len(living):
            self._register_again(living)
        return True

    def _register_again(self, living: list[Process]) -> None:
        """Register processes that were taken for dead: only we send their heartbeats."""
        for process in living:
            Lease(
                self.using,
                "worker",
                queues=self.queues,
                slots=self.slots,
                worker=process.worker,
                pid=process.pid,
                answers=ANSWERS,
            ).register()
            process.told_state = None

    # --- the dead ---------------------------------------------------------------------

    def _release_dead(self) -> None:
        for dead in list(self._dead):
            if dead.due > time.monotonic():
                continue
            release_claims(self.using, dead)
            # Of what was revoked, or outlasted the drain, too: these are not its tasks.
            release_worker(self.using, dead.worker)
            self.unreleased.discard(dead.worker)
            dead.releases_left -= 1
            dead.due = time.monotonic() + SECOND_RELEASE_SECONDS
            if not dead.releases_left or self._closing:
                liveness.forget(self.using, dead.worker)
                self._dead.remove(dead)


def _memory(living: list[Process]) -> Case:
    """Return the bytes that each process had in memory when that was last looked at."""
    known = [When(pk=p.worker, then=p.memory) for p in living if p.memory is not None]
    return Case(*known, default=F("memory"), output_field=BigIntegerField())


def release_claims(using: str, dead: DeadProcess) -> None:
    """Give back what a dead process had claimed, and count the losses of its tasks."""
    if not dead.expected:
        rescue.rescue(using, dead.worker, dead.reason, begun=dead.started)
        return
    if dead.stuck:
        rescue.rescue(using, dead.worker, STUCK_REASON, only=dead.stuck)
    claimed = tasks(using).filter(worker=dead.worker).order_by("pk")
    for pk, fence, again in list(claimed.values_list("pk", "fence", "rerun_lost")):
        begun = dead.started is None or pk in dead.started
        if again or not begun:
            claim = Claim(pk, fence, dead.worker)
            doorbell.ring(using, rescue.hand_back(using, claim, begun=begun))
        else:
            rescue.rescue(using, dead.worker, dead.reason, only=[pk])
