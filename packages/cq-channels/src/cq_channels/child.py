"""A process of ``cqworker`` that runs tasks, at its supervisor's orders.

It heeds no signal of those that end a worker: under systemd, Docker and on Ctrl-C they
reach the whole process group, and when to end is the supervisor's to say. It lives no
longer than its supervisor: the kernel ends it when the lifeline breaks, a pipe that
nothing is ever written to, even while a task keeps all Python code from running. What
it had open rolls back, as after any death.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections
from django.db.backends.signals import connection_created

from cq import outage, poolers
from cq.conf import conf
from cq.leases import Lease, lock_path

from .board import Board
from .engine import Engine
from .pipe import Pipe

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("cq.worker")

#: Exit codes. The second is that of EX_TEMPFAIL: start me again; the last that of
#: EX_SOFTWARE: one of its own threads has died.
DONE, RECYCLED, ORPHANED, BROKEN = 0, 75, 1, 70
#: Seconds between two looks at whether it is time to end by itself.
LOOK = 0.05
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
#: Milliseconds between two looks of PostgreSQL at whether who asked is still there.
CLIENT_CHECK = 1000

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(descriptors: str) -> int:
    """Be a child until told to end; returns the exit code.

    descriptors: numbers of the inherited pipe, board and lifeline, with commas.
    """
    _ignore_signals()
    pipe, board, lifeline = (int(number) for number in descriptors.split(","))
    _end_when_closed(lifeline)
    connection_created.connect(_have_our_death_noticed)
    return Child(Pipe(socket.socket(fileno=pipe)), Board(board)).run()


class KeptLease(Lease):
    """A lease for which the supervisor sends the heartbeats."""

    def __init__(self, board: Board, using: str, **values: Any) -> None:
        super().__init__(using, "worker", **values)
        self.board = board
        self._has_file = lock_path(using, self.worker) is not None

    @property
    def healthy(self) -> bool:
        if self._has_file:
            return True
        beaten = max(self._beaten, self.board.beaten)
        return bool(time.monotonic() - beaten < conf.LEASE / 2)

    def start_beating(self) -> None:
        pass


class Child:
    """The engine of this process, and what it has been told."""

    def __init__(self, pipe: Pipe, board: Board) -> None:
        self.pipe = pipe
        first = pipe.receive()
        if first is None:
            os._exit(ORPHANED)
        orders, *more = first
        self.drain: float | None = None
        self.leaving = False
        self._told = threading.Event()
        self.burst = orders.pop("burst")
        self.ends_itself = self.burst or orders["max_tasks"] is not None
        using = conf.DATABASE
        lease = KeptLease(
            board,
            using,
            worker=orders.pop("worker"),
            queues=orders["queues"],
            slots=orders["threads"],
        )
        self.engine = Engine(
            using, lease=lease, board=board, on_broken=self._wake_up, **orders
        )
        for order in more:
            self._obey(order)

    def run(self) -> int:
        threading.Thread(target=self._listen, name="cq-orders", daemon=True).start()
        if not self._start():
            return DONE
        self.pipe.send(ready=True)
        paused = False
        while self.drain is None and not self.engine.broken:
            if self.burst and self.engine.idle:
                self.pipe.send(done=True)
                break
            if not paused and (self.leaving or self.engine.spent):
                paused = True
                self.engine.pause()
                self.pipe.send(leaving=True)
            if paused and self.engine.empty:
                break
            self._told.wait(LOOK if self.ends_itself or paused else None)
            self._told.clear()
        self.engine.stop(self.drain)
        if self.engine.broken:
            return BROKEN
        return RECYCLED if paused else DONE

    def _start(self) -> bool:
        """Start the engine once the database lets it; False if told to stop before."""
        delay = FIRST_DELAY
        while self.drain is None:
            try:
                self.engine.start()
                connections[self.engine.using].close()
                return True
            except DatabaseError as error:
                logger.log(
                    outage.level(error),
                    "could not start; next try in %.1f s: %s",
                    delay,
                    error,
                )
                connections[self.engine.using].close()
                self._told.wait(delay)
                self._told.clear()
                delay = min(delay * 2, LONGEST_DELAY)
        return False

    def _wake_up(self) -> None:
        self._told.set()

    # --- orders -----------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            while (messages := self.pipe.receive()) is not None:
                for message in messages:
                    self._obey(message)
        finally:
            # Where the lifeline is no signal to the kernel.
            os._exit(ORPHANED)

    def _obey(self, message: dict[str, Any]) -> None:
        if "stop" in message:
            self.drain = message["stop"]
            self.engine.claimer.close()
        elif "leave" in message:
            self.leaving = True
        elif "wake" in message:
            self.engine.wake(None)
        self._told.set()


def _ignore_signals() -> None:
    for number in IGNORED:
        # Handlers, for what is ignored would be so in every program a task starts.
        signal.signal(number, _do_nothing)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    os.register_at_fork(after_in_child=_heed_signals)


def _do_nothing(number: int, frame: Any) -> None:
    pass


def _heed_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _end_when_closed(lifeline: int) -> None:
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    # From now on SIGIO comes with its end, which terminates who doesn't handle it.
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:
        os._exit(ORPHANED)


def _have_our_death_noticed(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Have PostgreSQL end a query, and free its locks, when this process dies."""
    if connection.vendor != "postgresql":
        return
    try:
        poolers.set_for_session(
            connection, "client_connection_check_interval", str(CLIENT_CHECK)
        )
    except DatabaseError:
        # Before version 14, or on a system where it cannot tell.
        logger.debug("queries outlive a worker that dies", exc_info=True)
