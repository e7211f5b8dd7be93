"""The processes of a run: workers and enqueuing ones, each a process group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Seconds from the death of a process to its successor, as of a process manager.
RESTART = 1.0


class Group:
    """A process with all its children, and what is started in its place."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.generation = 0
        self.frozen = False
        #: Whether a fault wants it dead, so that its end is nothing to wonder at.
        self.expected = False
        #: Whether it was told to end, by SIGTERM, and should with 0.
        self.terminated = False
        self._command = command
        self._environment = environment or {}
        self.start()

    def start(self) -> None:
        """Start it, or its successor; ``{generation}`` in the command is a number."""
        command = [
            word.replace("{generation}", str(self.generation)) for word in self._command
        ]
        with self.log.open("ab") as output:
            self._before = output.tell()
            self.popen = subprocess.Popen(
                command,
                cwd=HERE,
                env={**os.environ, **self._environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.generation += 1
        self.frozen = self.expected = self.terminated = False

    @property
    def pid(self) -> int:
        return self.popen.pid

    def pids(self) -> list[int]:
        """The leader, and all that belongs to its group."""
        return [self.pid, *self.children()]

    def ready(self) -> bool:
        """Whether a worker has said that it runs."""
        with self.log.open("rb") as said:
            said.seek(self._before)
            return b"\ncqworker " in b"\n" + said.read()

    def children(self) -> list[int]:
        """Return the pids of those in its group that it has started itself."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self.pid:
                continue
            with contextlib.suppress(OSError, IndexError):
                # After the name, which may hold anything: state, parent, group.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                # As it is between fork and exec, a program that it calls is none.
                same = b"cqworker" in (entry / "cmdline").read_bytes()
                if int(fields[2]) == self.pid and fields[0] != "Z" and same:
                    found.append(int(entry.name))
        return sorted(found)

    def send(self, signum: signal.Signals) -> None:
        """Signal the whole group, if there is still one."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signum)

    def kill(self) -> None:
        self.expected = True
        self.send(signal.SIGKILL)
        self.popen.wait()

    def freeze(self) -> None:
        self.frozen = True
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)
        self.frozen = False


@dataclass
class Fleet:
    """All groups; one that has ended is started again, as a process manager would."""

    groups: list[Group] = field(default_factory=list)
    #: Ends that no fault explains: (name, exit code).
    surprises: list[tuple[str, int]] = field(default_factory=list)
    #: How often one found no database to start with, and was started again.
    stillborn: int = 0
    #: Exit codes of those that were told to end by SIGTERM.
    ended: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, daemon=True)
        self._thread.start()

    def add(self, group: Group) -> Group:
        self.groups.append(group)
        return group

    def workers(self) -> list[Group]:
        return [group for group in self.groups if group.name.startswith("worker")]

    def producers(self) -> list[Group]:
        return [group for group in self.groups if group.name.startswith("producer")]

    def stop_producers(self) -> None:
        """Let them end what they are at, and start no others."""
        producers = self.producers()
        self.groups = self.workers()
        for producer in producers:
            producer.send(signal.SIGTERM)
        for producer in producers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                producer.popen.wait(30)
            producer.kill()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for group in self.groups:
            group.kill()

    def _keep_up(self) -> None:
        died: dict[str, float] = {}
        while not self._stop.wait(0.1):
            for group in list(self.groups):
                code = group.popen.poll()
                if code is None:
                    continue
                now = time.monotonic()
                if group.name not in died:
                    died[group.name] = now
                    self._note(group, code)
                elif now - died[group.name] >= RESTART and group in self.groups:
                    del died[group.name]
                    group.send(signal.SIGKILL)  # what it has left behind
                    group.start()

    def _note(self, group: Group, code: int) -> None:
        if group.terminated and not group.expected:
            # Before Python has come to install a handler, a signal just ends it.
            self.ended.append(code if group.ready() else 0)
        elif not group.expected and code == 1 and not group.ready():
            self.stillborn += 1
        elif not group.expected:
            self.surprises.append((group.name, code))

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until all workers have begun."""
        end = time.monotonic() + seconds
        while not all(worker.ready() for worker in self.workers()):
            if time.monotonic() > end:
                raise TimeoutError("the workers did not start; their logs say why")
            time.sleep(0.1)


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
