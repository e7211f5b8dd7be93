"""The child process of ``cqworker``: it runs tasks, at its supervisor's orders.

It ignores the signals that end a worker: under systemd, Docker and on Ctrl-C they reach
the whole process group, and it is the supervisor that says when to end. It lives no
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

from cq.conf import conf
from cq.db import outage, poolers
from cq.tables.worker_rows import Request
from cq.workers.lease import Lease, served
from cq.workers.lock_files import lock_path
from cq_channels.console import handler
from cq_channels.worker.engine import Engine

from .control_pipe import ControlPipe
from .facts import facts
from .shared_page import SharedPage
from .stacks import StackWriter

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("cq.worker")

#: Exit codes. The second is EX_TEMPFAIL: another process is to be started; the last is
#: EX_SOFTWARE: one of its own threads has died.
EXIT_DONE, EXIT_RECYCLED, EXIT_ORPHANED, EXIT_BROKEN = 0, 75, 1, 70
#: Seconds between two looks at whether it is time to end by itself.
POLL_SECONDS = 0.05
#: Seconds between two looks at whether the threads of the slots are there.
SECONDS_BETWEEN_CHECKS = 5.0
#: Seconds beyond the drain that a broken process has to give back what it has claimed.
STOP_SECONDS = 5.0
#: Milliseconds between two looks of PostgreSQL at whether the client is still there.
CLIENT_CHECK_MILLISECONDS = 1000

#: What may be asked of a child, by its row; its supervisor hears it.
ANSWERS = (Request.QUIET, Request.RESTART, Request.STACK)

IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(descriptors: str) -> int:
    """Be a child until told to end; return the exit code.

    descriptors: numbers of the inherited pipe, shared page, lifeline and file for stacks,
    with commas.
    """
    _ignore_signals()
    pipe, page, lifeline, stacks = (int(number) for number in descriptors.split(","))
    _end_when_closed(lifeline)
    connection_created.connect(_end_queries_of_the_dead)
    control_pipe = ControlPipe(socket.socket(fileno=pipe))
    return Child(control_pipe, SharedPage(page), StackWriter(stacks)).run()


class SupervisedLease(Lease):
    """The lease of a child: its supervisor sends the heartbeats."""

    def __init__(self, shared_page: SharedPage, using: str, **values: Any) -> None:
        super().__init__(using, "worker", answers=ANSWERS, **values)
        self.shared_page = shared_page
        self._has_file = lock_path(using, self.worker) is not None

    @property
    def healthy(self) -> bool:
        if self._has_file:
            return True
        last = max(self._beaten, self.shared_page.last_heartbeat)
        return bool(time.monotonic() - last < conf.LEASE / 2)

    def start_beating(self) -> None:
        pass


class Child:
    """The engine of this process, and the orders that it has been given."""

    def __init__(
        self, pipe: ControlPipe, shared_page: SharedPage, stacks: StackWriter
    ) -> None:
        self.pipe, self.stacks = pipe, stacks
        first = pipe.receive()
        if first is None:
            os._exit(EXIT_ORPHANED)
        orders, *more = first
        console = orders.pop("console")
        if console is not None:
            handler.attach(handler.Console(**console))
        if not (tells_runs := orders.pop("tells_runs")):
            handler.leave_out_runs()
        self.drain: float | None = None
        self.leaving = self.quiet = False
        self._changed = threading.Event()
        self.burst = orders.pop("burst")
        self.ends_itself = self.burst or orders["max_tasks"] is not None
        self._scheduler = orders["scheduler"]
        #: For the supervisor's banner, once it has started.
        self._facts: dict[str, Any] = {}
        using = conf.DATABASE
        lease = SupervisedLease(
            shared_page,
            using,
            worker=orders.pop("worker"),
            queues=served(orders["queues"], orders["exclude"]),
            slots=orders["threads"],
        )
        self.engine = Engine(
            using,
            lease=lease,
            shared_page=shared_page,
            burst=self.burst,
            tells_failures=console is not None and tells_runs,
            on_broken=self._wake_up,
            on_spoiled=self._wake_up,
            **orders,
        )
        for order in more:
            self._take_order(order)

    def run(self) -> int:
        threading.Thread(
            target=self._read_orders, name="cq-orders", daemon=True
        ).start()
        if not self._start():
            return EXIT_DONE
        self.pipe.send(ready=self._facts)
        paused = leaves = False
        while self.drain is None and not self.engine.broken:
            quieted = paused and not leaves
            if self.burst and (self.engine.idle or (quieted and self.engine.empty)):
                self.pipe.send(done=True)
                break
            spoiled = self.engine.spoiled
            is_over = self.leaving or self.engine.spent or bool(spoiled)
            if not paused and (is_over or self.quiet):
                paused = True
                self.engine.pause()
            if is_over and not leaves:
                leaves = True
                # With the reason, if a task gave one: this process may have no log.
                self.pipe.send(leaving=True, spoiled=spoiled)
            if leaves and self.engine.empty:
                break
            soon = self.ends_itself or leaves
            self._changed.wait(POLL_SECONDS if soon else SECONDS_BETWEEN_CHECKS)
            self._changed.clear()
            self.engine.check_threads()
        if self.engine.broken:
            self._end_in_any_case()
        self.engine.stop(self.drain)
        if self.engine.broken:
            return EXIT_BROKEN
        return EXIT_RECYCLED if leaves else EXIT_DONE

    def _end_in_any_case(self) -> None:
        """End this process when the drain is over: who is broken may not get to stop."""
        drain = conf.DRAIN if self.drain is None else self.drain
        timer = threading.Timer(drain + STOP_SECONDS, os._exit, (EXIT_BROKEN,))
        timer.daemon = True
        timer.start()

    def _start(self) -> bool:
        """Start the engine once the database lets it; False if told to stop before."""
        delay = outage.ReconnectDelay()
        while self.drain is None:
            try:
                self.engine.start()
                outage.ended(logger)
                self._facts = facts(self.engine.using, self._scheduler)
                connections[self.engine.using].close()
                return True
            except DatabaseError as error:
                seconds = delay.next()
                outage.log(
                    logger, error, "could not start; next try in %.1f s", seconds
                )
                connections[self.engine.using].close()
                self._changed.wait(seconds)
                self._changed.clear()
        return False

    def _wake_up(self) -> None:
        self._changed.set()

    # --- orders -----------------------------------------------------------------------

    def _read_orders(self) -> None:
        try:
            while (messages := self.pipe.receive()) is not None:
                for message in messages:
                    self._take_order(message)
        finally:
            # For systems whose kernel ends no process when a pipe is closed.
            os._exit(EXIT_ORPHANED)

    def _take_order(self, message: dict[str, Any]) -> None:
        if "stop" in message:
            self.drain = message["stop"]
            self.engine.announce_stop()
            self.engine.claimer.close()
        elif "leave" in message:
            self.leaving = True
            self.engine.announce_stop()
        elif "quiet" in message:
            self.quiet = True
            self.engine.claimer.close()
        elif "stack" in message:
            self.stacks.answer(message["stack"])
        elif "wake" in message:
            self.engine.wake(None)
        self._changed.set()


def _ignore_signals() -> None:
    for number in IGNORED_SIGNALS:
        # Not SIG_IGN: programs that a task starts would inherit that.
        signal.signal(number, _do_nothing)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    os.register_at_fork(after_in_child=_restore_signals)


def _do_nothing(number: int, frame: Any) -> None:
    pass


def _restore_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _end_when_closed(lifeline: int) -> None:
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    # From now on the end of the pipe sends SIGIO, which ends a process that has no
    # handler for it.
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:
        os._exit(EXIT_ORPHANED)


def _end_queries_of_the_dead(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Have PostgreSQL end a query, and free its locks, when this process dies."""
    if connection.vendor != "postgresql":
        return
    try:
        poolers.set_for_session(
            connection,
            "client_connection_check_interval",
            str(CLIENT_CHECK_MILLISECONDS),
        )
    except DatabaseError:
        # A server before version 14, or on a system where it cannot tell.
        logger.debug("queries outlive a worker that dies", exc_info=True)
