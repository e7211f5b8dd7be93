"""Who waits for a task is told that it has settled, and does not have to look."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from heard import PATIENCE

from cq import lifecycle, task
from cq.db.statements import uuid_param
from cq.lifecycle import Claim
from cq.models import Task, waiting
from cq.tables.queries import tasks
from cq.workers import notices
from cq.workflow import advance
from cq_channels.waiters import listener
from cq_channels.waiters.messenger import MAX_IDS, messenger

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("postgres", "valkey"),
    pytest.mark.direct,
]


@task("messenger.nothing")
def nothing(cqt: Any) -> None:
    pass


@pytest.fixture(autouse=True)
def _only_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not told waits until the test is given up."""
    monkeypatch.setattr(waiting, "FIRST_LOOK_SECONDS", 10 * PATIENCE)
    monkeypatch.setattr(listener, "FIRST_RETRY_SECONDS", 0.01)


@pytest.fixture
def waiters() -> Iterator[Waiters]:
    found = Waiters()
    yield found
    found.join()


class Waiters:
    """Threads that wait for a task each."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.done: list[Task] = []

    def start(self, *handles: Task) -> None:
        for handle in handles:
            thread = threading.Thread(target=self._wait, args=[handle], daemon=True)
            thread.start()
            self.threads.append(thread)
        until_somebody_listens()

    def _wait(self, handle: Task) -> None:
        try:
            self.done.append(handle.wait(5 * PATIENCE))
        finally:
            connection.close()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def until_somebody_listens(*, there: bool = True) -> None:
    look = threading.Event()
    for _ in range(round(PATIENCE / 0.01)):
        if listeners() == there:
            return
        look.wait(0.01)
    raise AssertionError("nobody listens" if there else "somebody still listens")


def listeners() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {notices.listener_sql(connection)}")
        return bool(cursor.fetchone()[0])


def settle(handle: Task) -> None:
    """Do what a worker does with a run that has returned."""
    [claimed] = lifecycle.claim(
        "default", 7, "id = %s", [uuid_param(connection, handle.pk)], 1
    )
    claim = Claim(claimed.pk, claimed.fence, 7)
    advance.after_settled(
        "default", lifecycle.complete_many("default", [(claim, "null")])
    )


def test_who_waits_is_told(waiters: Waiters) -> None:
    handle = nothing.delay()
    waiters.start(handle)
    settle(handle)
    waiters.join()
    assert [found.status for found in waiters.done] == [Task.STATUS_COMPLETE]


def test_each_is_told_of_its_own(waiters: Waiters) -> None:
    first, second = nothing.delay(), nothing.delay()
    waiters.start(first, second)
    settle(second)
    waiters.threads[1].join(PATIENCE)
    assert waiters.done == [second]
    settle(first)


def test_a_coroutine_is_told() -> None:
    handle = nothing.delay()

    async def wait() -> Task:
        waiting_for = asyncio.ensure_future(handle.await_(5 * PATIENCE))
        while not await sync_to_async(listeners)():
            await asyncio.sleep(0.01)
        await sync_to_async(settle)(handle)
        return await asyncio.wait_for(waiting_for, PATIENCE)

    assert async_to_sync(wait)().status == Task.STATUS_COMPLETE


def test_what_settles_in_a_transaction_is_told_when_that_commits(
    waiters: Waiters,
) -> None:
    handle = nothing.delay()
    waiters.start(handle)
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        handle.revoke()
    waiters.join()
    assert waiters.done[0].status == Task.STATUS_REVOKED
    assert not [q for q in captured if "pg_notify" in q["sql"]]


def test_a_cut_connection_is_made_again(waiters: Waiters) -> None:
    first, second = nothing.delay(), nothing.delay()
    waiters.start(first, second)
    cut()
    until_somebody_listens()
    settle(first)
    waiters.threads[0].join(PATIENCE)
    settle(second)


def test_what_settles_while_it_is_deaf_is_found_when_it_hears_again(
    waiters: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = nothing.delay()
    with monkeypatch.context() as patched:
        # Somebody listens, and nothing that is said arrives.
        patched.setattr(messenger, "tell", lambda using, ids: None)
        waiters.start(handle)
        settle(handle)
    cut()


def cut() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'cq waiting'"
        )
        assert cursor.fetchall() == [(True,)]


def notices_sent_when_one_settles() -> int:
    handle = nothing.delay()
    with CaptureQueriesContext(connection) as captured:
        settle(handle)
    return len([q for q in captured if "pg_notify" in q["sql"]])


def test_nothing_is_told_while_nobody_waits() -> None:
    notices.remember("default", False)
    assert notices_sent_when_one_settles() == 0


def test_who_is_likely_to_wait_is_told_before_the_look_and_once_in_vain() -> None:
    notices.remember("default", True)
    assert notices_sent_when_one_settles() == 1
    assert notices_sent_when_one_settles() == 0


def test_nor_does_a_transaction_have_anything_to_do_for_it_when_it_commits() -> None:
    handle = nothing.delay()
    with transaction.atomic():
        handle.revoke()
        assert not connection.run_on_commit


def test_who_need_not_wait_does_not_listen() -> None:
    handle = nothing.delay()
    settle(handle)
    handle.wait(PATIENCE)
    assert not messenger._listeners or not messenger._listeners["default"]._thread


def test_more_are_told_of_at_once_than_one_message_takes(waiters: Waiters) -> None:
    handles = nothing.delay_many([()] * (2 * MAX_IDS + 1))
    waiters.start(handles[0], handles[-1])
    tasks("default").update(status="COMPLETE", finished=handles[0].submitted)
    advance.after_settled("default", [handle.pk for handle in handles])


def test_hostile_notices_wake_nobody(waiters: Waiters) -> None:
    handle = nothing.delay()
    waiters.start(handle)
    with connection.cursor() as cursor:
        for payload in ("", ",", "{}", "x" * 7999, "\N{SNOWMAN}", str(handle.pk)):
            cursor.execute("SELECT pg_notify('cq-settled', %s)", [payload])
    assert not waiters.done
    settle(handle)


def test_it_listens_no_longer_than_somebody_waits(waiters: Waiters) -> None:
    handle = nothing.delay()
    waiters.start(handle)
    settle(handle)
    waiters.join()
    until_somebody_listens(there=False)
