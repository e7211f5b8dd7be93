"""The pipe of orders and reports between a supervisor and a child: JSON, one a line."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

CHUNK_BYTES = 65536


class ControlPipe:
    """One end of a pair of sockets; any thread may send, one reads."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._rest = b""
        self._sending = threading.Lock()
        self._broken = False

    def fileno(self) -> int:
        return self.end.fileno()

    def send(self, **message: Any) -> bool:
        """Send a message; return whether the other end can still read it."""
        line = json.dumps(message).encode() + b"\n"
        with self._sending:
            try:
                if not self._broken:
                    # Messages are so few and short that the buffer always has room,
                    # unless the other process is frozen.
                    self.end.sendall(line, socket.MSG_DONTWAIT)
            except OSError:
                # A part of it may have been sent, and would spoil the next message.
                self._broken = True
            return not self._broken

    def receive(self) -> list[dict[str, Any]] | None:
        """Wait for messages and return them; None when the other end is closed.

        A socket that doesn't block is not waited for: there may be no message.
        """
        while True:
            try:
                chunk = self.end.recv(CHUNK_BYTES)
            except BlockingIOError:
                return []
            except ConnectionError:
                return None
            if not chunk:
                return None
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if lines:
                return [json.loads(line) for line in lines]

    def close(self) -> None:
        self.end.close()
