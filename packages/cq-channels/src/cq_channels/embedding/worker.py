"""The embedded worker: one ``cqworker`` a host, which lives as long as its web server.

Each process of the server asks for a lock of the host. Who has it starts the worker, as
a program of its own, and starts another if that ends; the others take over when the
kernel takes the lock from a process that has ended.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import ENVIRONMENT_VARIABLE, settings

from cq.conf import conf
from cq.db.outage import ReconnectDelay

from .host_lock import HostLock

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("cq.worker")

#: Seconds that a worker has lived for another to start at once after it.
STEADY_SECONDS = 30.0
#: Seconds between two looks at the lock's file; what removes old files takes hours.
LOOK_SECONDS = 60.0


class EmbeddedWorker:
    """The keeper of the worker, on a thread of this process.

    arguments: flags of ``cqworker``.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.arguments = list(arguments)
        self._stopping = threading.Event()
        self._lock = HostLock(lock_path())
        self._lifeline: int | None = None
        self._guard = threading.Lock()

    def start(self) -> None:
        """Keep a worker from now on, once this process has the lock of the host."""
        threading.Thread(target=self._work, name="cq-embedded", daemon=True).start()

    def stop(self) -> None:
        """Have the worker end, and start no other; it drains by itself."""
        self._stopping.set()
        with self._guard:
            self._cut()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._lock.acquire()
            except OSError as error:
                logger.warning(
                    "no worker runs beside this server: its lock %s cannot be had: %s",
                    self._lock.path,
                    error,
                )
                return
            threading.Thread(target=self._look, name="cq-lock", daemon=True).start()
            self._keep_one()

    def _look(self) -> None:
        """Keep the lock; once another process has it, have the worker end."""
        while not self._stopping.wait(LOOK_SECONDS):
            if not self._lock.keep():
                logger.warning(
                    "the lock %s was removed, and another process has it or can: the "
                    "worker beside this one ends",
                    self._lock.path,
                )
                with self._guard:
                    self._cut()
                return

    def _keep_one(self) -> None:
        """Run one worker after the other, for as long as the lock is held."""
        delay = ReconnectDelay()
        while self._lock.is_held and not self._stopping.is_set():
            try:
                lived = self._run()
            except OSError as error:
                logger.warning("no worker can be started: %s", error)
                lived = 0.0
            if lived >= STEADY_SECONDS:
                delay.reset()
            self._stopping.wait(delay.next())

    def _run(self) -> float:
        """Run one worker to its end; return the seconds that it has lived."""
        began = time.monotonic()
        reading, writing = os.pipe()
        try:
            with self._guard:
                if self._stopping.is_set() or not self._lock.is_held:
                    os.close(writing)
                    return 0.0
                self._lifeline = writing
            process = subprocess.Popen(
                command(reading, self.arguments),
                env=environment(),
                pass_fds=(reading,),
            )
        finally:
            os.close(reading)
        process.wait()
        with self._guard:
            self._cut()
        return time.monotonic() - began

    def _cut(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


def command(lifeline: int, arguments: Sequence[str]) -> list[str]:
    """Return the command of the worker that ends with the pipe `lifeline`."""
    python = [sys.executable, *(f"-W{option}" for option in sys.warnoptions)]
    # The server has been checked already, and would be told of everything twice.
    worker = ["-m", "django", "cqworker", "--skip-checks", "--no-reload"]
    return [*python, *worker, "--embedded", str(lifeline), *arguments]


def environment() -> dict[str, str]:
    """Return the environment in which the worker finds the project."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def lock_path() -> Path:
    """Return the file whose lock the server's processes ask for: one a project and user."""
    database = settings.DATABASES[conf.DATABASE]
    place = [str(database.get(key, "")) for key in ("HOST", "PORT", "NAME")]
    module = os.environ[ENVIRONMENT_VARIABLE]
    project = [str(os.getuid()), module, str(Path.cwd()), *place]
    digest = hashlib.sha256("\0".join(project).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"cq-embedded-{digest}.lock")
