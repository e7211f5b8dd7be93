"""The worker of this very server process, started once however often it is asked for."""

from __future__ import annotations

import os
import threading

from . import rules
from .worker import EmbeddedWorker

#: Seconds that what runs has to end when the code has changed, or on Ctrl-C.
RUNSERVER_DRAIN_SECONDS = 5


class WorkerOfThisServer:
    """The one :class:`EmbeddedWorker` of this process."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._guard = threading.Lock()

    def is_wanted(self) -> bool:
        """Whether ``CQ_EMBEDDED`` asks for one beside a server."""
        return rules.wanted()

    def start(self, *arguments: str) -> None:
        """Start it, unless this process has. arguments: flags of ``cqworker``."""
        # Without the lock, since each request asks. Who was forked from a process that
        # had started one has none: threads are not forked.
        if self._pid == os.getpid():
            return
        with self._guard:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                EmbeddedWorker(arguments).start()


worker_of_this_server = WorkerOfThisServer()


def start_beside_runserver() -> None:
    """Start a worker if this process is a ``runserver`` that it is to run beside."""
    if rules.of_this_process():
        worker_of_this_server.start("--drain", str(RUNSERVER_DRAIN_SECONDS))
