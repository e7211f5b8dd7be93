"""Signals as bytes to read: so they are handled between two steps, not within one."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import Any

#: A byte like those of signals: a thread of this process wants the children replaced.
RELOAD = 0
#: Another: a thread has died without which no lease is kept.
BROKEN = 255
#: Another: the server that this worker runs beside has ended. On Ctrl-C a signal comes too.
SERVER_ENDED = 254

HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)


class Signals:
    """The signals that matter to a supervisor, as they come within its context.

    The main thread has to enter it.
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
        for number in HANDLED_SIGNALS:
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
        """Send a byte that is read like that of a signal; for any thread."""
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
