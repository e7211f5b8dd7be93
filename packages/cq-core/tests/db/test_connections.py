"""A server that has ended a connection while it was idle costs no task its outcome."""

from __future__ import annotations

import asyncio
import select
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction
from driving import claim, fresh, run
from racing import beside, until

from cq import task
from cq.db import connections as own_connections
from cq.db import transactions
from cq.execution import async_runner, sync_runner
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)
server = pytest.mark.backend("postgres", "valkey", "mariadb")


@pytest.fixture(autouse=True)
def _by_hand(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CQ_RUN_INLINE = False
    monkeypatch.setattr(own_connections, "IDLE_SECONDS", 0.0)


@task
def writes(cqt: Any) -> None:
    Group.objects.create(name=f"written by {cqt.pk}")


@task(atomic=False)
async def counts(cqt: Any) -> int:
    return await Group.objects.acount()


@task(atomic=False)
async def loses_its_connection(cqt: Any) -> None:
    await sync_to_async(_close_beneath)()
    await Group.objects.acount()


def _close_beneath() -> None:
    """As a broken connection is: Django still takes it for one."""
    connection.ensure_connection()
    connection.connection.close()


def _hang_up() -> None:
    """Have the server end this thread's session, as a restart does."""
    connection.ensure_connection()
    other = connection.copy("default")
    try:
        with other.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute(f"KILL {connection.connection.thread_id()}")
            else:
                pid = connection.connection.info.backend_pid
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    finally:
        other.close()
    select.select([connection.connection.fileno()], [], [], 60)


@pytest.mark.direct
@server
def test_a_task_does_not_start_on_a_session_that_the_server_has_ended() -> None:
    waiting = claim(writes.delay())
    _hang_up()

    sync_runner.execute(waiting)

    assert fresh(waiting).status == Status.COMPLETE
    assert Group.objects.count() == 1


@pytest.mark.direct
@server
def test_a_session_in_a_transaction_is_left_to_who_opened_it() -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        _is_ended_in_a_transaction()


def _is_ended_in_a_transaction() -> None:
    Group.objects.count()
    _hang_up()
    own_connections.drop_broken()
    assert connection.connection is not None
    Group.objects.count()


def test_a_session_that_works_is_kept() -> None:
    Group.objects.count()
    before = connection.connection

    run(writes.delay())

    assert connection.connection is before


def test_a_thread_without_a_connection_yet_may_begin_with_the_lock() -> None:
    def write() -> None:
        with transactions.immediate(connection, True), transaction.atomic():
            Group.objects.create(name="written")

    beside(write).result(60)
    assert Group.objects.count() == 1


@pytest.mark.usefixtures("closing")
async def test_coroutines_go_on_after_the_connection_they_share_was_lost() -> None:
    lost, after = await loses_its_connection.adelay(), await counts.adelay()

    for handle in (lost, after):
        claimed = await asyncio.to_thread(_and_close, claim, (handle,))
        await async_runner.execute(claimed, None, _in_thread)

    await lost.arefresh_from_db()
    await after.arefresh_from_db()
    assert (lost.status, after.status) == (Status.FAILURE, Status.COMPLETE)


async def _in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(_and_close, function, args)


def _and_close(function: Callable[..., Any], args: tuple[Any, ...]) -> Task | Any:
    try:
        return function(*args)
    finally:
        connections.close_all()


@server
def test_row_44_a_task_that_idled_too_long_in_its_transaction_fails_and_says_so() -> (
    None
):
    @task(name="idles in its transaction")
    def idles(cqt: Any) -> None:
        Group.objects.create(name="before")
        limit, _ = IDLE[connection.vendor]
        with connection.cursor() as cursor:
            cursor.execute(limit)
        select.select([connection.connection.fileno()], [], [], 60)
        Group.objects.count()

    handle = run(idles.delay())

    assert handle.status == Status.FAILURE
    _, says = IDLE[connection.vendor]
    assert says in handle.error
    if connection.vendor == "postgresql":
        assert "PostgreSQL ended the session by its idle_in_transaction" in handle.error
        assert "raise the limit for the workers' role" in handle.error
    assert not Group.objects.exists()


#: How a server is told, in its shortest time, and what it, or its client, says then.
IDLE = {
    "postgresql": (
        "SET LOCAL idle_in_transaction_session_timeout = '20ms'",
        "idle-in-transaction timeout",
    ),
    "mysql": ("SET idle_transaction_timeout = 1", "Server has gone away"),
}


# --- COMMITs that are done and not answered -------------------------------------------

CUTS = 200


@contextmanager
def commits_cut() -> Iterator[Callable[[], int]]:
    """Let each COMMIT of this thread be done and not answered; how many were so far."""
    of = _cut_in_the_server if connection.vendor == "postgresql" else _cut_on_the_way
    with of() as cut:
        yield cut


@contextmanager
def _cut_on_the_way() -> Iterator[Callable[[], int]]:
    from proxies import CommitCutter

    settings = connection.settings_dict
    port = settings["PORT"]
    with CommitCutter(int(port)) as proxy:
        connection.close()
        settings["PORT"] = str(proxy.port)
        try:
            yield lambda: proxy.cut
        finally:
            settings["PORT"] = port
            connection.close()


@contextmanager
def _cut_in_the_server() -> Iterator[Callable[[], int]]:
    """Let each COMMIT wait, when it is durable, for a standby that does not exist."""
    enough, cut = threading.Event(), [0]
    _set_standby("nobody")
    cutting = beside(lambda: _cut_those_that_wait(enough, cut))
    try:
        # Only the checkpointer tells the others to wait, once it has read its settings
        # again; it may be at a checkpoint until then.
        until(
            lambda: _commit_elsewhere() or cut[0] > 0, "a commit waits for the standby"
        )
        before = cut[0]
        yield lambda: cut[0] - before
    finally:
        enough.set()
        cutting.result(60)
        _set_standby("")


def _set_standby(name: str) -> None:
    with _another_session() as cursor:
        cursor.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        cursor.execute("SELECT pg_reload_conf()")
        until(lambda: _standby(cursor) == name, f"the standby is {name!r}")


def _commit_elsewhere() -> None:
    """Commit something in a session of its own, which may be cut."""
    with suppress(OperationalError), _another_session() as cursor:
        cursor.execute("SELECT pg_logical_emit_message(true, 'cq', '')")


@contextmanager
def _another_session() -> Iterator[Any]:
    with closing(connection.copy("default")) as other, other.cursor() as cursor:
        yield cursor


def _standby(cursor: Any) -> str:
    cursor.execute("SHOW synchronous_standby_names")
    return str(cursor.fetchone()[0])


def _cut_those_that_wait(enough: threading.Event, cut: list[int]) -> None:
    """End the sessions that wait so, and count them, until there is `enough`."""
    while not enough.is_set():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE wait_event = 'SyncRep'"
            )
            cut[0] += len(cursor.fetchall())
        enough.wait(0.001)


@server
def test_row_35_two_hundred_commits_that_were_done_and_not_answered_count_once() -> (
    None
):
    claimed = [claim(task) for task in writes.delay_many([()] * CUTS)]

    with commits_cut() as cut:
        for waiting in claimed:
            sync_runner.execute(waiting)

    assert cut() >= CUTS
    found = Task.objects.values_list("status", "attempts", "failures", "losses")
    assert set(found) == {(Status.COMPLETE, 1, 0, 0)}
    assert Group.objects.count() == CUTS
    assert call_command("cq", "audit") is None
