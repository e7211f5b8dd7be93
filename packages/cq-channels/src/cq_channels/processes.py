"""Starts the processes of a worker, and knows how each of them fares and ends.

Each is a fresh interpreter, not a fork. A fork would share memory, but has to happen
before there are threads and connections, again and again while there are some, and
with the old code after a reload; what a library starts in ``AppConfig.ready()`` breaks
in it. An idle pair of interpreters was measured at 100 MiB.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.utils.autoreload import get_child_arguments

from cq.leases import new_worker_id

from .board import Board
from .child import IGNORED
from .pipe import Pipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

COMMAND = "cqworker"
#: Seconds after its time was over, or it was revoked, that a task has to end by itself.
STUCK = 10.0


class Process:
    """A child, as its supervisor sees it. orders: what it is to do, as it is sent.

    Raises OSError, and leaves nothing open, where the system has no room for another.
    """

    def __init__(self, pythonpath: str | None, **orders: Any) -> None:
        self.worker = new_worker_id()
        self.started = time.monotonic()
        #: Whether it runs tasks; whether it claims no more, so as to be replaced.
        self.ready = self.leaving = False
        #: Whether it has found nothing to run any more, in a burst.
        self.done = False
        #: Whether it has closed its end of the pipe.
        self.mute = False
        #: Whether the supervisor itself has killed it.
        self.killed = False
        #: Tasks whose time was over for long at the last look, and at the one before too.
        self.late: set[UUID] = set()
        self.stuck: set[UUID] = set()
        #: When it is killed for the sake of these, by ``time.monotonic()``.
        self.kill_at: float | None = None
        #: Bytes that it had in memory when that was last looked at; None: never.
        self.memory: int | None = None
        with contextlib.ExitStack() as its_own, contextlib.ExitStack() as undo:
            self.board = Board.create()
            undo.callback(self.board.close)
            mine, its = socket.socketpair()
            undo.callback(mine.close)
            its_own.callback(its.close)
            lifeline, self._lifeline = os.pipe()
            undo.callback(os.close, self._lifeline)
            its_own.callback(os.close, lifeline)
            inherited = (its.fileno(), self.board.fd, lifeline)
            with _held_back(IGNORED):
                self.popen = subprocess.Popen(
                    [*_command(pythonpath), "--child", ",".join(map(str, inherited))],
                    env=_environment(),
                    pass_fds=inherited,
                )
            undo.pop_all()
        self.pid = self.popen.pid
        mine.setblocking(False)
        self.pipe = Pipe(mine)
        self.pipe.send(worker=self.worker, **orders)

    def __str__(self) -> str:
        return f"process {self.pid}"

    def ended(self) -> bool:
        return self.popen.poll() is not None

    def look_at_memory(self) -> None:
        self.memory = resident(self.pid) or self.memory

    def look_for_stuck_tasks(self, now: float) -> None:
        late = self.board.overdue(now - STUCK)
        self.stuck, self.late = late & self.late, late

    def stop(self, drain: float) -> None:
        self.pipe.send(stop=drain)

    def leave(self) -> None:
        """Have it end once what it runs has ended."""
        self.pipe.send(leave=True)

    def wake(self) -> None:
        self.pipe.send(wake=True)

    def kill(self) -> None:
        self.killed = True
        self.popen.kill()

    def close(self) -> None:
        """Give back what this end has open, but the board; it must have ended."""
        self.pipe.close()
        os.close(self._lifeline)

    def how_it_ended(self) -> str:
        """Say what can be known of its death."""
        code = self.popen.returncode
        said = f"exited with code {code}"
        if code < 0:
            said = f"was killed by {_signal_name(-code)}"
            if -code == signal.SIGKILL and not self.killed:
                said += " (by hand, or for want of memory)"
        if self.memory is not None:
            said += f", memory last seen: {self.memory / 2**20:.0f} MiB"
        return said


def resident(pid: int) -> int | None:
    """Bytes that a process has in memory; None where ``/proc`` doesn't tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return None


def resident_here() -> int | None:
    return resident(os.getpid())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _held_back(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Hold signals back: here for a moment, in the child until it can handle them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _command(pythonpath: str | None) -> list[str]:
    """Return how this command was started, so that a child comes about as it did."""
    if COMMAND in sys.argv[1:2]:
        arguments = get_child_arguments()
        command = arguments[: len(arguments) - len(sys.argv[1:])]
    else:
        # Called by a program of somebody's.
        command = [sys.executable, *(f"-W{o}" for o in sys.warnoptions), "-m", "django"]
    command += [COMMAND, "--skip-checks"]
    return [*command, "--pythonpath", pythonpath] if pythonpath else command


def _environment() -> dict[str, str]:
    # The module that --settings named is in the environment already.
    if COMMAND in sys.argv[1:2]:
        return dict(os.environ)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
