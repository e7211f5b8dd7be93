"""The health of a worker, for what watches it: a file that is touched, an HTTP answer.

It is well while its heartbeats reach the database and a process can run tasks. What is
asked is this process's memory: a probe costs the database nothing.
"""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

from cq.conf import conf

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds that one who asks has to say what.
REQUEST_SECONDS = 5.0


class Health:
    """The health of one worker.

    file: touched by `beat`. address: host and port to answer at; 0 is any free port.
    Raises OSError where that cannot be had.
    """

    def __init__(
        self, file: Path | None = None, address: tuple[str, int] | None = None
    ) -> None:
        self.file = file
        self._beaten: float | None = None
        self._server = None if address is None else _Server(address, self)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int | None:
        """The port at which it answers."""
        return None if self._server is None else self._server.server_port

    def start(self) -> None:
        """Answer from now on, on a thread of its own."""
        if self._server is not None:
            serve = self._server.serve_forever
            self._thread = threading.Thread(target=serve, name="cq-health", daemon=True)
            self._thread.start()

    def beat(self) -> None:
        """Note that a heartbeat has reached the database; raises OSError of the file."""
        self._beaten = time.monotonic()
        if self.file is not None:
            self.file.touch()

    def problem(self) -> str | None:
        """Return what is wrong; None while all is well."""
        if self._beaten is None:
            return (
                "it has not reached the database yet, or no process can run tasks yet"
            )
        silent = time.monotonic() - self._beaten
        if silent < conf.LEASE:
            return None
        return (
            f"no heartbeat has reached the database for {silent:.0f} s, longer than "
            f"CQ_LEASE ({conf.LEASE:g} s)"
        )

    def close(self) -> None:
        """Remove the file and answer no more."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)
        if self._server is not None:
            if self._thread is not None:
                self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Who asks in the moment of the end is not waited for.
    block_on_close = False

    def __init__(self, address: tuple[str, int], health: Health) -> None:
        self.health = health
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's own, which asks the DNS for a name that nobody reads.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A probe that has hung up is nobody's trouble.
        pass


class _Handler(BaseHTTPRequestHandler):
    """The answer at any path: 200 and ``ok``, or 503 and what is wrong."""

    timeout = REQUEST_SECONDS
    server_version = "cq"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        problem = self.server.health.problem()
        body = f"{problem or 'ok'}\n".encode()
        self.send_response(503 if problem else 200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        # A line each few seconds would hide the others.
        pass
