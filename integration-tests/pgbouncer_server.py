"""PgBouncer in transaction mode, from Debian's package, before a PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

#: Seconds until it listens; how soon is not what tests are about.
PATIENCE = 60.0

_CONFIG = """
[databases]
* = host={host} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 50
server_round_robin = 1
server_login_retry = 1
logfile = {directory}/log
pidfile =
"""


class PgBouncer:
    """A pooler on a free port, the same after each start.

    host: the directory of the server's Unix socket. user: of the database.
    """

    def __init__(self, directory: Path, host: str, user: str) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        directory.mkdir()
        self._config = directory / "pgbouncer.ini"
        self._config.write_text(
            _CONFIG.format(host=host, user=user, port=self.port, directory=directory)
        )
        self._as: dict[str, Any] = {}
        if not os.geteuid():
            # It refuses to be root. Whoever the server runs as can reach its socket.
            owner = next(Path(host).glob(".s.PGSQL.*")).stat()
            self._as = {
                "user": owner.st_uid,
                "group": owner.st_gid,
                "extra_groups": [],
            }
            shutil.chown(directory, owner.st_uid, owner.st_gid)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/"

    def start(self) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise FileNotFoundError("no pgbouncer here: apt-get install pgbouncer")
        self._process = subprocess.Popen(
            [program, "--quiet", self._config], cwd="/", **self._as
        )
        end = time.monotonic() + PATIENCE
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > end:
                log = (self.directory / "log").read_text(errors="replace")
                raise RuntimeError(f"pgbouncer did not start:\n{log}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once; its clients' connections break, in whatever they were at."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def is_running(self) -> bool:
        return self._process is not None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
