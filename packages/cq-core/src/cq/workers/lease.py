"""The lease of a process that runs tasks: its row, and the heartbeats that keep it.

On SQLite it holds a lock on a file beside the database, which ends with the process:
nobody can write a heartbeat while a task holds the one write lock. Elsewhere the row
in ``cq_workers`` is touched every ``CQ_HEARTBEAT`` seconds, by the database's clock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from django.db import Error, connections

from cq.conf import conf
from cq.db import outage
from cq.db.clock import Moment
from cq.tables.queries import workers
from cq.tables.referrers import delete_unprotected

from . import requests
from .liveness import own_workers
from .lock_files import lock_path, take_lock
from .session_locks import SessionLocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime


logger = logging.getLogger("cq.lease")
#: Seconds from a heartbeat that failed to the next.
RETRY_SECONDS = 0.5


class Lease:
    """The row, and the lock file, of a process for one database.

    worker: the id that it has already; None: a new one. pid: of the process, where
    another one keeps the lease for it; None: this one. locks: whether the thread that
    beats holds a lock for it as well, see :mod:`cq.workers.session_locks`. beaten: called
    by that thread behind each heartbeat. answers: what may be asked of the process, see
    :mod:`cq.workers.requests`. answer: called with what is, on the thread that beats.
    """

    def __init__(
        self,
        using: str,
        kind: str,
        *,
        queues: list[str] | None = None,
        slots: int = 1,
        worker: int | None = None,
        pid: int | None = None,
        locks: bool = False,
        beaten: Callable[[], None] | None = None,
        answers: Sequence[str] = (),
        answer: Callable[[str], None] | None = None,
    ) -> None:
        self.using = using
        self.kind = kind
        self.queues = queues
        self.slots = slots
        self.answers = answers
        self._answer = answer
        self._locks = SessionLocks(using) if locks else None
        self.worker = worker or new_worker_id()
        self.pid = pid
        self._lock_file: IO[bytes] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._running = 0
        self._counting = threading.Lock()
        self._beaten = time.monotonic()
        self._after_beat = beaten

    @property
    def healthy(self) -> bool:
        """Whether nobody can have taken this process for dead: else claim nothing."""
        if self._thread is None:
            return True
        return bool(time.monotonic() - self._beaten < conf.LEASE / 2)

    def register(self, now: datetime | None = None) -> None:
        """Write the row, or touch it where it is there."""
        self._lock()
        if not self.beat(now):
            workers(self.using).create(
                id=self.worker,
                kind=self.kind,
                host=socket.gethostname()[:255],
                pid=self.pid or os.getpid(),
                queues=self.queues,
                slots=self.slots,
                release=conf.RELEASE,
                versions=requests.versions(),
                answers=self._answers(),
                started=Moment(now),
                last_seen=Moment(now),
            )
        own_workers.add(self.worker)

    def _answers(self) -> list[str] | None:
        # Where a lock file stands in for its heartbeats it hears of nothing itself.
        deaf = self._answer is not None and lock_path(self.using, self.worker)
        return None if deaf else list(self.answers) or None

    def beat(self, now: datetime | None = None) -> bool:
        """Say that the process is alive; False when the row is gone."""
        before = time.monotonic()
        row = workers(self.using).filter(pk=self.worker)
        values: dict[str, Any] = {"last_seen": Moment(now)}
        if self._locks is not None and threading.current_thread() is self._thread:
            values["locked"] = bool(self._locks.hold([self.worker]))
        if self._answer is None:
            alive = bool(row.update(**values))
        elif not (alive := bool(row.filter(asked__isnull=True).update(**values))):
            # It is gone, or somebody asks something of it.
            alive = bool(row.update(**values))
            self._beaten = before
            self._hear(self._answer)
        # The moment before it was sent: the database may have taken its time.
        self._beaten = before
        return alive

    def _hear(self, answer: Callable[[str], None]) -> None:
        try:
            for request in requests.take(self.using, [self.worker]).values():
                answer(request)
        except Error as error:
            # It is no heartbeat: the session and its lock stay.
            logger.warning("what was asked of a worker was not answered: %s", error)

    def close(self) -> None:
        """End the lease: nothing of it runs any more."""
        self.stop_beating()
        delete_unprotected(workers(self.using).filter(pk=self.worker))
        self.unlock()
        own_workers.discard(self.worker)

    # --- heartbeats -------------------------------------------------------------------

    def start_beating(self) -> None:
        """Beat on a thread of its own, until `stop_beating`."""
        if self._thread is not None or lock_path(self.using, self.worker):
            return
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._beat_until_stopped, name="cq-heartbeat", daemon=True
        )
        self._thread.start()

    def stop_beating(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Beat while something runs that may take long; several things may."""
        with self._counting:
            self._running += 1
            self.start_beating()
        try:
            yield
        finally:
            with self._counting:
                self._running -= 1
                if not self._running:
                    self.stop_beating()

    def _beat_until_stopped(self) -> None:
        try:
            wait = 0.0
            while not self._stop.wait(wait):
                wait = conf.HEARTBEAT
                try:
                    if not self.beat():
                        self.register()
                    outage.ended(logger)
                    if self._after_beat is not None:
                        self._after_beat()
                except Exception as error:
                    outage.log(logger, error, "No heartbeat could be written")
                    connections[self.using].close()
                    # Soon, for without its lock it is taken for dead.
                    wait = min(wait, RETRY_SECONDS)
        finally:
            connections[self.using].close()

    # --- the lock file ----------------------------------------------------------------

    def _lock(self) -> None:
        path = lock_path(self.using, self.worker)
        if path is None or self._lock_file is not None:
            return
        self._lock_file = take_lock(path)

    def unlock(self) -> None:
        """Give the lock file up, and so the lease: others take this process for dead."""
        if self._lock_file is None:
            return
        path = Path(self._lock_file.name)
        path.unlink(missing_ok=True)
        self._lock_file.close()
        self._lock_file = None


def served(queues: list[str] | None, exclude: list[str] | None) -> list[str] | None:
    """Return what a worker's row says of its queues: those not served begin with a "-"."""
    return [f"-{name}" for name in exclude] if exclude else queues


def new_worker_id() -> int:
    return random.SystemRandom().getrandbits(62)
