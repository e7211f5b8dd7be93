"""Real worker processes, and waiting for what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
#: Seconds: how long a test waits for what has to come, not how fast it has to be.
PATIENCE = 60.0


class Process:
    """A program in a process group of its own."""

    def __init__(self, log: Path, *command: str) -> None:
        self.log = log
        paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": os.pathsep.join(p for p in paths if p),
        }
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                command,
                env=environment,
                cwd=HERE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for_output(self, text: str) -> None:
        def said() -> bool:
            if self.popen.poll() is not None:
                raise AssertionError(
                    f"it ended: {self.popen.returncode}\n{self.output}"
                )
            return text in self.output

        until(said, lambda: f"{text!r} in the output:\n{self.output}")

    def signal_group(self, number: int) -> None:
        """Send a signal to it and to its children, as Ctrl-C and systemd do."""
        os.killpg(self.popen.pid, number)

    def kill(self) -> None:
        self.signal_group(signal.SIGKILL)
        self.popen.wait()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.popen.terminate()
        return self.popen.wait(PATIENCE)


class Workers:
    """Starts processes, and ends what is left of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[Process] = []

    def start(self, *flags: str) -> Process:
        """A ``cqworker`` that is ready."""
        process = self.command("cqworker", *flags)
        process.wait_for_output("cqworker ")
        return process

    def command(self, *command: str) -> Process:
        """A management command."""
        return self.program(sys.executable, "-m", "django", *command)

    def program(self, *command: str) -> Process:
        log = self.directory / f"process-{len(self.started)}.log"
        process = Process(log, *command)
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            if process.popen.poll() is None:
                process.kill()


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    # The latter where it ends between the opening and the reading.
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def until(happened: Callable[[], Any], what: str | Callable[[], str]) -> Any:
    """Look until something has happened; it must, and how soon does not matter.

    what: what is waited for; a function of what there is to see at the end.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = happened()
        if value:
            return value
        connections.close_all()  # no snapshot of an earlier look
        time.sleep(0.02)
    missed = what if isinstance(what, str) else what()
    raise AssertionError(f"did not come in {PATIENCE:g} s: {missed}")
