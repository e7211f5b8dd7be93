"""The protocol of all systems: workloads know nothing else of them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.core.management import call_command
from django.db import connection

from .catalogue import mode

if TYPE_CHECKING:
    from collections.abc import Iterable

Command = list[str]


def python(*arguments: str) -> Command:
    return [sys.executable, *arguments]


def django(*arguments: str) -> Command:
    return python("-m", "django", *arguments)


def script(name: str, *arguments: str) -> Command:
    """A program of this environment."""
    return [os.path.join(os.path.dirname(sys.executable), name), *arguments]


class System:
    """One system. Names are those of ``work.WORK``.

    Those that cannot do a thing say so by `fans_out` and `table`.
    """

    #: Whether it has a parent, or a group, with a callback.
    fans_out = False
    #: The most children that are tried; more would take minutes.
    children = 1_000
    #: The table whose rows are tasks, for a past to be made of; None: not measured.
    table: str | None = None
    #: How many tasks that write it runs while it runs one that does nothing.
    writing = 1.0

    def prepare(self) -> None:
        """Make the tables."""
        call_command("migrate", run_syncdb=True, verbosity=0)

    def empty(self) -> None:
        """Leave nothing of an earlier measurement, and nobody who works on it."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            kept = {"django_migrations", "django_content_type", "auth_permission"}
            tables = set(connection.introspection.table_names(cursor)) - kept
            names = ", ".join(map(connection.ops.quote_name, sorted(tables)))
            cursor.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
            cursor.execute("CHECKPOINT")
        if url := os.environ.get("CQ_BENCH_VALKEY"):
            import redis

            with redis.Redis.from_url(url) as client:
                client.flushall()

    def enqueue(self, name: str, number: int) -> Any:
        """Enqueue one call, as a site does; return what `result` takes."""
        raise NotImplementedError

    def enqueue_many(self, name: str, numbers: Iterable[int]) -> None:
        """Enqueue calls by what the system has for many; one by one without."""
        for number in numbers:
            self.enqueue(name, number)

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        """Return commands that start so many processes. threads: in each; None: best."""
        raise NotImplementedError

    def slots(self, count: int) -> tuple[int, int]:
        """Return processes, and threads in each, that run so many tasks at once."""
        return count, 1

    def finished(self) -> int:
        """Return how many tasks have an outcome."""
        raise NotImplementedError

    def result(self, handle: Any) -> None:
        """Wait for an outcome, by what the system has for that."""
        raise NotImplementedError

    def fan_out(self, children: int) -> None:
        """Start so many no-op children, and ``stamp`` behind the last of them."""
        raise NotImplementedError

    def nudge(self) -> None:
        """Called ten times a second while a callback is waited for."""


def interval() -> str:
    """Seconds between two looks, of those who look: soon, but not while it is idle."""
    return "1" if mode() == "idle" else "0.1"


def count(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


def conninfo() -> str:
    """Where the database is, for psycopg."""
    return os.environ["CQ_BENCH_DATABASE"]


def valkey(database: int = 0) -> str:
    """URL of a database of the Valkey of this run."""
    parts = urlsplit(os.environ["CQ_BENCH_VALKEY"])
    return f"redis://{parts.hostname}:{parts.port}/{database}"
