"""Real workers of one system, their end, and what their tasks tell."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cqbench.processes import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .system import Command, System

#: Seconds after which nothing comes any more.
PATIENCE = 120.0
#: Between an error and what the workers wrote until then.
WORKERS_SAID = "the workers said:"


class Stamps:
    """Hears the tasks ``stamp``: their number, and when they began."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="cq-bench-")
        path = Path(self._directory.name, "stamps")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        os.environ["CQ_BENCH_SOCKET"] = str(path)

    def next(self, timeout: float = PATIENCE) -> tuple[int, float] | None:
        """Return the next one; None when none comes in time."""
        self._socket.settimeout(timeout)
        try:
            number, moment = self._socket.recv(100).decode().strip("()").split(", ")
        except TimeoutError:
            return None
        return int(number), float(moment)

    def of(self, number: int, timeout: float = PATIENCE) -> float:
        """Return when the task of this number began."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = self.next(max(0.001, end - time.monotonic()))
            if found and found[0] == number:
                return found[1]
        raise RuntimeError(f"the task of number {number} did not begin in {timeout} s")

    def close(self) -> None:
        self._socket.close()
        self._directory.cleanup()


class Workers:
    """What some commands have started."""

    def __init__(self, commands: list[Command], output: IO[str]) -> None:
        self.output = output
        self._processes = [
            subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            for command in commands
        ]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def check(self) -> None:
        """Raise RuntimeError, with what they have said, when one has ended."""
        if any(process.poll() is not None for process in self._processes):
            self.output.seek(0)
            raise RuntimeError(f"a worker has ended:\n{self.output.read()[-4000:]}")

    def kill(self) -> None:
        """SIGKILL to all of it at once, as when a host loses power."""
        # Stopped first, parents before children: nobody sees another one die.
        everything = [pid for top in self.pids for pid in tree(top)]
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            for pid in everything:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)
        for process in self._processes:
            process.wait(PATIENCE)


@contextmanager
def started(commands: list[Command]) -> Iterator[Workers]:
    """Workers, to their kill: what they leave behind is emptied before the next."""
    with tempfile.TemporaryFile("w+") as output:
        workers = Workers(commands, output)
        try:
            yield workers
        except Exception as error:
            workers.output.seek(0)
            if said := workers.output.read()[-4000:].strip():
                error.add_note(f"{WORKERS_SAID}\n{said}")
            raise
        finally:
            workers.kill()


@contextmanager
def ready(
    system: System, stamps: Stamps, processes: int, threads: int | None = None
) -> Iterator[Workers]:
    """Workers of which each process, as far as one can know, has run something."""
    with started(system.workers(processes, threads)) as workers:
        for number in range(-10 * processes, 0):
            system.enqueue("stamp", number)
        for _ in range(10 * processes):
            if stamps.next() is None:
                raise RuntimeError(f"no worker has begun in {PATIENCE:g} s")
        workers.check()
        yield workers
