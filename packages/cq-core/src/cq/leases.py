"""A process that runs tasks says that it is alive; the dead ones are found by that.

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
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from django.db import connections

from . import outage
from .clock import Moment
from .conf import conf
from .locks import SessionLocks
from .rows import workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .models import Worker

try:
    import fcntl
except ImportError:  # Windows has no such locks: heartbeats decide there too
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("cq.lease")

#: Seconds from a heartbeat that failed to the next.
AGAIN = 0.5
#: Ids of the leases of this very process.
_mine: set[int] = set()


class Lease:
    """The row, and the lock file, of a process for one database.

    worker: the id that it has already; None: a new one. pid: of the process, where
    another one keeps the lease for it; None: this one. locks: whether the thread that
    beats holds a lock for it as well, see :mod:`cq.locks`.
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
    ) -> None:
        self.using = using
        self.kind = kind
        self.queues = queues
        self.slots = slots
        self._locks = SessionLocks(using) if locks else None
        self.worker = worker or new_worker_id()
        self.pid = pid
        self._lock_file: IO[bytes] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._running = 0
        self._counting = threading.Lock()
        self._beaten = time.monotonic()

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
                started=Moment(now),
                last_seen=Moment(now),
            )
        _mine.add(self.worker)

    def beat(self, now: datetime | None = None) -> bool:
        """Say that the process is alive; False when the row is gone."""
        before = time.monotonic()
        row = workers(self.using).filter(pk=self.worker)
        values: dict[str, Any] = {"last_seen": Moment(now)}
        if self._locks is not None and threading.current_thread() is self._thread:
            values["locked"] = bool(self._locks.hold([self.worker]))
        alive = bool(row.update(**values))
        # The moment before it was sent: the answer may have taken its time.
        self._beaten = before
        return alive

    def close(self) -> None:
        """End the lease: nothing of it runs any more."""
        self.stop_beating()
        workers(self.using).filter(pk=self.worker).delete()
        self.unlock()
        _mine.discard(self.worker)

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
                except Exception as error:
                    logger.log(
                        outage.level(error), "No heartbeat could be written: %s", error
                    )
                    connections[self.using].close()
                    # Soon, for without its lock it is taken for dead.
                    wait = min(wait, AGAIN)
        finally:
            connections[self.using].close()

    # --- the lock file ----------------------------------------------------------------

    def _lock(self) -> None:
        path = lock_path(self.using, self.worker)
        if path is None or self._lock_file is not None:
            return
        # A POSIX record lock: unlike flock's it is not inherited by a forked child.
        self._lock_file = path.open("wb")
        fcntl.lockf(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self) -> None:
        """Give the lock file up, and so the lease: others take this process for dead."""
        if self._lock_file is None:
            return
        path = Path(self._lock_file.name)
        path.unlink(missing_ok=True)
        self._lock_file.close()
        self._lock_file = None


def new_worker_id() -> int:
    return random.SystemRandom().getrandbits(62)


def lock_path(using: str, worker: int) -> Path | None:
    """Return the lock file of a worker; None where heartbeats decide."""
    connection = connections[using]
    if fcntl is None or connection.vendor != "sqlite" or in_memory(using):
        return None
    return Path(f"{connection.settings_dict['NAME']}-cq-{worker}.lock")


def in_memory(using: str) -> bool:
    """Tell whether the database is SQLite's in memory, which one process has alone."""
    connection = connections[using]
    return connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]


def dead_workers(using: str, now: datetime | None = None) -> list[Worker]:
    """Return the workers whose processes are gone, or silent for ``CQ_LEASE``."""
    others = workers(using).exclude(pk__in=_mine)
    if in_memory(using):
        return list(others)
    silent = Moment(now, -timedelta(seconds=conf.LEASE))
    if connections[using].vendor != "sqlite" or fcntl is None:
        return list(others.filter(last_seen__lt=silent))
    return [worker for worker in others if _lock_is_free(using, worker.pk)]


def _lock_is_free(using: str, worker: int) -> bool:
    path = lock_path(using, worker)
    assert path is not None
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def forget(using: str, worker: int) -> None:
    """Remove the row and the lock file of a dead worker, once its tasks are rescued."""
    workers(using).filter(pk=worker).delete()
    path = lock_path(using, worker)
    if path is not None:
        path.unlink(missing_ok=True)


def is_mine(worker: int) -> bool:
    """Tell whether a lease belongs to this process."""
    return worker in _mine


def _forget_mine() -> None:
    _mine.clear()


if hasattr(os, "register_at_fork"):
    # A forked child runs nothing of what its parent has claimed.
    os.register_at_fork(after_in_child=_forget_mine)
