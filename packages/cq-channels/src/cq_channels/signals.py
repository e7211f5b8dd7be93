"""Signals as bytes to read, so that they are heeded between two steps, not within one."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import Any

#: Not a signal: a thread of this very process wants the others replaced.
RELOAD = 0

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)


class Signals:
    """Within its context: hears the signals that matter to a supervisor.

    To be entered by the main thread.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)

    def __enter__(self) -> Signals:
        self._fd = signal.set_wakeup_fd(
            self._writing.fileno(), warn_on_full_buffer=False
        )
        for number in HEARD:
            # Python writes the byte only for signals that have a handler.
            self._before[number] = signal.signal(number, _do_nothing)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd)
        self._reading.close()
        self._writing.close()

    def fileno(self) -> int:
        return self._reading.fileno()

    def send(self, number: int) -> None:
        """Have a byte read like that of a signal."""
        with contextlib.suppress(OSError):
            self._writing.send(bytes([number]))

    def read(self) -> list[int]:
        """Return what has come since the last time."""
        try:
            return list(self._reading.recv(4096))
        except BlockingIOError:
            return []


def _do_nothing(number: int, frame: Any) -> None:
    pass
