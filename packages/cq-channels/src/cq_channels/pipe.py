"""Orders and reports between a supervisor and a child: a JSON object a line."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

#: Bytes read at once.
CHUNK = 65536


class Pipe:
    """One end of the pair of sockets; any thread may send, one reads."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._rest = b""
        self._sending = threading.Lock()
        self._broken = False

    def fileno(self) -> int:
        return self.end.fileno()

    def send(self, **message: Any) -> bool:
        """Send a message; whether the other end can still read it."""
        line = json.dumps(message).encode() + b"\n"
        with self._sending:
            try:
                if not self._broken:
                    # So few and short that they always fit, unless the other is frozen.
                    self.end.sendall(line, socket.MSG_DONTWAIT)
            except OSError:
                # What was sent of it spoils the next one.
                self._broken = True
            return not self._broken

    def receive(self) -> list[dict[str, Any]] | None:
        """Wait for messages and return them; None when the other end is closed.

        Without waiting where the socket doesn't block: none, perhaps.
        """
        while True:
            try:
                chunk = self.end.recv(CHUNK)
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
