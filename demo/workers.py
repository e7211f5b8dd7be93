"""The demo's worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

MANAGE = Path(__file__).parent / "manage.py"


class Worker:
    """One ``manage.py cqworker``, in a process group of its own."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(MANAGE), "cqworker", "--threads", "2"],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL: no chance to say good-bye."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM: it ends what it runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


class Crew:
    """The workers that are there; whoever leaves the block has ended them."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.workers: list[Worker] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            worker.stop()

    def start(self) -> Worker:
        """Start one more."""
        worker = Worker(self.log)
        self.workers.append(worker)
        return worker

    def kill(self, worker: Worker) -> None:
        """Kill one, and start none in its place."""
        worker.kill()
        self.workers.remove(worker)
