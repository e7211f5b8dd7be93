"""A child process as its supervisor sees it: how it starts, fares and ends.

Each child is a fresh interpreter, not a fork. A fork would share memory. But it is safe
only before there are threads and connections, and children start again and again while
there are some; it would have the old code after a reload; and what a library starts in
``AppConfig.ready()`` breaks in it. An idle pair of interpreters was measured at 100 MiB.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.utils.autoreload import get_child_arguments

from cq.tables.worker_rows import Request, WorkerState
from cq.workers.lease import new_worker_id
from cq_channels.child.control_pipe import ControlPipe
from cq_channels.child.main import IGNORED_SIGNALS
from cq_channels.child.shared_page import SharedPage
from cq_channels.child.stacks import create_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

logger = logging.getLogger("cq.worker")

COMMAND = "cqworker"
#: Seconds after its time is over, or it is revoked, that a task has to end by itself.
STUCK_SECONDS = 10.0


class Process:
    """A child process, from its start to its end. orders: what it is sent first.

    Raises OSError, and leaves nothing open, where the system has no room for another.
    """

    def __init__(self, pythonpath: str | None, **orders: Any) -> None:
        self.worker = new_worker_id()
        self.started = time.monotonic()
        #: Whether it runs tasks; whether it claims no more, so as to be replaced.
        self.ready = self.leaving = False
        #: Whether it has found nothing to run any more, in a burst.
        self.done = False
        #: What it was told, and what of that stands in its row; None: it is at work.
        self.state: WorkerState | None = None
        self.told_state: WorkerState | None = None
        #: Whether it has closed its end of the pipe.
        self.pipe_closed = False
        #: Whether the supervisor itself has killed it.
        self.killed = False
        #: Tasks whose time was long over at the last look.
        self.overdue: set[UUID] = set()
        #: Those of them for which it was at the look before, too.
        self.stuck: set[UUID] = set()
        #: When it is killed because of stuck tasks, by ``time.monotonic()``.
        self.kill_at: float | None = None
        #: Whether a task of it has ended; see `has_worked`.
        self._worked = False
        self.asking_for_stacks, self.stacks_asked = threading.Lock(), 0
        #: Bytes that it had in memory when that was last looked at; None: never.
        self.memory: int | None = None
        with contextlib.ExitStack() as its_own, contextlib.ExitStack() as undo:
            self.shared_page = SharedPage.create()
            undo.callback(self.shared_page.close)
            #: Where it writes its stacks; closed last, for a thread may still read there.
            self.stack_file = create_file()
            undo.callback(weakref.finalize(self, os.close, self.stack_file))
            mine, its = socket.socketpair()
            undo.callback(mine.close)
            its_own.callback(its.close)
            lifeline, self._lifeline = os.pipe()
            undo.callback(os.close, self._lifeline)
            its_own.callback(os.close, lifeline)
            inherited = (
                its.fileno(),
                self.shared_page.fd,
                lifeline,
                self.stack_file,
            )
            with _blocked(IGNORED_SIGNALS):
                self.popen = subprocess.Popen(
                    [*_command(pythonpath), "--child", ",".join(map(str, inherited))],
                    env=_environment(),
                    pass_fds=inherited,
                )
            undo.pop_all()
        self.pid = self.popen.pid
        mine.setblocking(False)
        self.pipe = ControlPipe(mine)
        self.pipe.send(worker=self.worker, **orders)

    def __str__(self) -> str:
        return f"process {self.pid}"

    def ended(self) -> bool:
        return self.popen.poll() is not None

    def has_worked(self) -> bool:
        """Tell whether any task of it has ended, and its outcome was written."""
        self._worked = self.shared_page.take_worked() or self._worked
        return self._worked

    def has_worked_lately(self) -> bool:
        """Tell whether it runs a task, or has ended one since the last look."""
        # First what runs: a task that ends in between is seen by the second.
        runs = self.shared_page.started() != set()
        ended = self.shared_page.take_worked()
        self._worked = ended or self._worked
        return runs or ended

    def check_memory(self, max_rss: int | None) -> None:
        """Read how many bytes it has in memory, and have it leave above `max_rss`."""
        self.memory = used = resident_bytes(self.pid) or self.memory
        if max_rss is not None and used is not None and used > max_rss:
            logger.info("%s has %.0f MiB in memory", self, used / 2**20)
            self.leave()

    def find_stuck_tasks(self) -> None:
        # A task has to be overdue at two looks: what is just being written on the page
        # may be read wrongly.
        overdue = self.shared_page.overdue(time.monotonic() - STUCK_SECONDS)
        self.stuck, self.overdue = overdue & self.overdue, overdue

    def kill_if_stuck(self, drain: float) -> bool:
        """Have it leave, and then kill it, where a task is stuck; return whether one is.

        It is not killed before its other tasks have ended, or have had `drain` seconds.
        """
        if not self.stuck:
            return False
        now = time.monotonic()
        if self.kill_at is None:
            self.kill_at = now + drain
            logger.warning(
                "%s: %s cannot be ended; another process takes its place",
                self,
                ", ".join(map(str, self.stuck)),
            )
            self.leave()
        started = self.shared_page.started()
        if now >= self.kill_at or (started is not None and started <= self.stuck):
            self.kill()
        return True

    def stop(self, drain: float) -> None:
        self.state = WorkerState.DRAINING
        self.pipe.send(stop=drain)

    def leave(self) -> None:
        """Have it end once what it runs has ended."""
        self.state = WorkerState.DRAINING
        self.pipe.send(leave=True)

    def answer(self, request: Request) -> None:
        """Do what somebody asks of it; for any thread."""
        if request is Request.RESTART:
            self.leave()
        elif request is Request.QUIET:
            self.state = self.state or WorkerState.QUIET
            self.pipe.send(quiet=True)

    def wake(self) -> None:
        self.pipe.send(wake=True)

    def kill(self) -> None:
        self.killed = True
        self.popen.kill()

    def close(self) -> None:
        """Close what this end has open, but the shared page; it must have ended."""
        self.pipe.close()
        os.close(self._lifeline)

    def how_it_ended(self) -> str:
        """Return what can be known of its death, as the end of a sentence."""
        code = self.popen.returncode
        said = f"exited with code {code}"
        if code < 0:
            said = f"was killed by {_signal_name(-code)}"
            if -code == signal.SIGKILL and not self.killed:
                said += " (by hand, or for want of memory)"
        if self.memory is not None:
            said += f", memory last seen: {self.memory / 2**20:.0f} MiB"
        return said


def resident_bytes(pid: int) -> int | None:
    """Return the bytes a process has in memory; None where ``/proc`` doesn't tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return None


def own_resident_bytes() -> int | None:
    return resident_bytes(os.getpid())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _blocked(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Block signals: here for a moment, in the child until it can handle them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _command(pythonpath: str | None) -> list[str]:
    """Return the command that starts a child as this process was started."""
    if COMMAND in sys.argv[1:2]:
        arguments = get_child_arguments()
        command = arguments[: len(arguments) - len(sys.argv[1:])]
    else:
        # The command was called by a program, not from a command line.
        command = [sys.executable, *(f"-W{o}" for o in sys.warnoptions), "-m", "django"]
    command += [COMMAND, "--skip-checks"]
    return [*command, "--pythonpath", pythonpath] if pythonpath else command


def _environment() -> dict[str, str]:
    # The settings module that --settings named is in the environment already.
    if COMMAND in sys.argv[1:2]:
        return dict(os.environ)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
