"""The child's part in telling where its tasks are: by Python, or else by a signal.

Asked by its supervisor it answers from Python, where frames stand still and coroutines
can be followed. While a task holds the GIL nobody here does: then the supervisor sends a
signal, which `faulthandler` answers in C. It does not where a line with the number of
its question says that Python answers: the handler reads frames, and they would move.
"""

from __future__ import annotations

import faulthandler
import fcntl
import json
import logging
import os
import signal
import tempfile
from functools import partial
from typing import Any

from cq.runs.stacks import stacks_of_runs
from cq.threads import start_thread

logger = logging.getLogger("cq.worker")

#: One that no library takes for itself, where the system has such.
STACK_SIGNAL = getattr(signal, "SIGRTMAX", signal.SIGUSR2)


def create_file() -> int:
    """Make the file that answers are written to; it has no name any more."""
    with tempfile.TemporaryFile(prefix="cq-stacks-") as file:
        # Else what is written after it was emptied would stand where the last had ended.
        flags = fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND
        fcntl.fcntl(file, fcntl.F_SETFL, flags)
        return os.dup(file.fileno())


class StackWriter:
    """The writer of this process's stacks to the file that a supervisor has given it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        # Not chained: system calls go on then, as if there had been no signal.
        faulthandler.register(STACK_SIGNAL, file=fd, all_threads=True, chain=False)

    def answer(self, number: int) -> None:
        """Write two lines of JSON, with the number by which it was asked for.

        The first, at once, says that the second is to come. Neither where no thread can
        be started: then the signal answers.
        """
        # On a thread of its own: a loop may take its time, and orders do not wait.
        start_thread(partial(self._answer, number), "cq-stacks", logger)

    def _answer(self, number: int) -> None:
        self._write({"number": number})
        found = {task.hex: stack for task, stack in stacks_of_runs().items()}
        self._write({"number": number, "stacks": found})

    def _write(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        while line:
            line = line[os.write(self.fd, line) :]
