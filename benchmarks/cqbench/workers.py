"""A real worker process, and waiting for what it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING

from cq.models import Task, Worker

from . import tasks
from .processes import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds between two looks at the table; each costs the worker some of the machine.
LOOK = 0.02
#: Seconds after which nothing comes any more.
PATIENCE = 900.0
#: Tasks of the warm-up: each thread has its connection then.
WARM_UP = 200
#: A line for each task is for people, and the other systems write none either. Nor has
#: a version of cq that has no such lines an option for it.
QUIET = ["--quiet"] if find_spec("cq_channels.console") else []


class WorkerProcess:
    """One ``cqworker``."""

    def __init__(self, output: IO[str], *flags: str, **environment: str) -> None:
        self.output = output
        self._process = subprocess.Popen(
            [sys.executable, "-m", "django", "cqworker", *flags],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_there(self) -> bool:
        # The row may be of a child that runs the tasks.
        return Worker.objects.filter(pid__in=tree(self.pid)).exists()

    def until(
        self, happened: Callable[[], bool], what: str, pause: float = LOOK
    ) -> None:
        """Look until something has happened, as long as the worker lives.

        pause: seconds between two looks.
        """
        end = time.monotonic() + PATIENCE
        while not happened():
            if self._process.poll() is not None:
                self.output.seek(0)
                raise RuntimeError(f"the worker has ended:\n{self.output.read()}")
            if time.monotonic() > end:
                raise RuntimeError(f"{what} did not come in {PATIENCE:g} s")
            time.sleep(pause)

    def until_settled(self, last: Task) -> None:
        """Look until all tasks have settled, of which `last` is queued as the last."""
        # One row first: to look for any that is open reads a growing table.
        same = Task.objects.filter(pk=last.pk)
        self.until(same.filter(finished__isnull=False).exists, "the last task's end")
        left = Task.objects.filter(finished__isnull=True)
        self.until(lambda: not left.exists(), "the end of all tasks")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL to all of it at once, as when a host loses power."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)


@contextmanager
def started_worker(*flags: str, **environment: str) -> Iterator[WorkerProcess]:
    """A worker that is there."""
    with tempfile.TemporaryFile("w+") as output:
        process = WorkerProcess(output, *QUIET, *flags, **environment)
        try:
            process.until(process.is_there, "the worker's row")
            yield process
        finally:
            process.stop()


@contextmanager
def worker(*flags: str, **environment: str) -> Iterator[WorkerProcess]:
    """A worker that has run some tasks and is idle, all it needs being there."""
    with started_worker(*flags, **environment) as process:
        calls = [(number,) for number in range(WARM_UP)]
        process.until_settled(tasks.noop.delay_many(calls)[-1])
        yield process
