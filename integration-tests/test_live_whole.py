"""Sockets that watch the whole: the overview, and the list of workers."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.db import connections
from floor import tasks
from live_sockets import (
    ALL,
    closed,
    cookie_of,
    heard,
    in_thread,
    made,
    member,
    opened,
    say,
    watch,
)
from processes import PATIENCE

from cq.conf import conf
from cq.models import Overview, Worker
from cq.status import Status
from cq.watching.marks import EVERYTHING
from cq.watching.watchers import watched
from cq_channels.live import application, consumer, hub, pages, sockets
from cq_channels.live import watch as watches
from cq_channels.live.consumer import LiveConsumer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from processes import Workers

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = pytest.mark.parametrize("whole", ["overview", "workers"])
NEEDS = {"overview": "view_overview", "workers": "view_worker"}


@pytest.fixture(autouse=True)
async def _alone() -> AsyncIterator[None]:
    """What a test has left open that failed is not another's fault."""
    sockets._open.clear()
    yield
    assert not sockets._open
    await in_thread(connections.close_all)()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for seconds."""
    monkeypatch.setattr(hub, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(hub, "SHARED_SECONDS", 0.0)
    monkeypatch.setattr(watches, "BETWEEN_SECONDS", 0.01)


@pytest.fixture
async def cookie() -> Any:
    """The session of somebody who may see both."""
    return await in_thread(lambda: cookie_of(member("kim", *NEEDS.values())))()


# What is told -------------------------------------------------------------------------


@pytest.mark.usefixtures("soon")
async def test_the_overview_is_told_of_what_waits_and_runs(cookie: str) -> None:
    one = await opened(application, cookie)
    await watch(one, "overview")
    first = await heard(one)
    assert first.pop("seq") > 0
    assert first == {"of": "overview", "waiting": 0, "running": 0, "workers": 0}
    await in_thread(made)(Status.QUEUED)
    while (await heard(one))["waiting"] != 1:
        pass
    await in_thread(made)(Status.RUNNING)
    while (await heard(one))["running"] != 1:
        pass
    await one.disconnect()


@pytest.mark.usefixtures("soon")
async def test_the_list_of_workers_is_told_of_what_each_runs(cookie: str) -> None:
    one = await opened(application, cookie)
    await watch(one, "workers")
    first = await heard(one)
    assert (first["of"], first["running"], first["workers"]) == ("workers", 0, 0)
    await in_thread(made)(Status.RUNNING)
    while (await heard(one))["running"] != 1:
        pass
    await one.disconnect()


@BOTH
@pytest.mark.usefixtures("soon")
async def test_it_is_paused_and_left(whole: str, cookie: str) -> None:
    one = await opened(application, cookie)
    await watch(one, whole)
    await heard(one)
    await one.send_json_to({"pause": True})
    await in_thread(made)(Status.RUNNING)
    await one.send_json_to({"pause": False})
    while (await heard(one))["running"] != 1:
        pass
    await one.send_json_to({"unwatch": whole})
    await watch(one, "overview" if whole == "workers" else "workers")
    # Of what was left nothing comes any more.
    while (await heard(one))["of"] == whole:
        pass
    assert [str(found) for found in hub.hub().watched()] != [whole]
    await one.disconnect()


# Who may ------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("codename", "flags", "sees"),
    [
        ("its own", {}, True),
        ("the other", {}, False),
        ("view_task", {}, False),
        ("view_queue", {}, False),
        ("", {"is_superuser": True}, True),
        ("", {}, False),
        ("its own", {"is_staff": False}, False),
        ("its own", {"is_active": False}, False),
        (None, {}, False),
    ],
)
async def test_row_s3_who_may_watch_the_whole(
    whole: str, codename: Any, flags: Any, sees: bool
) -> None:
    cookie = ""
    if codename is not None:
        [other] = set(NEEDS) - {whole}
        code = {"its own": NEEDS[whole], "the other": NEEDS[other]}
        codes = [code.get(codename, codename)] if codename else []
        cookie = await in_thread(lambda: cookie_of(member("lee", *codes, **flags)))()
    one = await opened(application, cookie)
    await watch(one, whole)
    if sees:
        assert (await heard(one))["of"] == whole
        await one.disconnect()
    else:
        assert await closed(one) == 4403


@BOTH
async def test_row_s5_who_may_no_more_look_at_the_whole_is_sent_away(
    whole: str, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "LOOK_AGAIN_SECONDS", 0.05)
    one = await opened(application, cookie)
    await watch(one, whole)
    await heard(one)
    await in_thread(_lose_all)()
    assert await closed(one) == 4403


def _lose_all() -> None:
    from django.contrib.auth import get_user_model

    get_user_model().objects.get(username="kim").user_permissions.clear()


@BOTH
async def test_row_s16_no_token_shows_the_whole(whole: str, cookie: str) -> None:
    task = await in_thread(made)()
    one = await opened(application, cookie)
    await watch(one, whole, token=task.token())
    assert await closed(one) == 4404


async def test_the_page_of_a_project_says_who_may_look(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = admin.site._registry[Overview]
    monkeypatch.setattr(type(shown), "has_view_permission", lambda *_: False)
    one = await opened(application, cookie)
    await watch(one, "overview")
    assert await closed(one) == 4403


async def test_who_is_shown_some_workers_is_told_no_numbers(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = type(admin.site._registry[Worker])
    whole = shown.get_queryset
    monkeypatch.setattr(
        shown, "get_queryset", lambda *args: whole(*args).exclude(host="hidden")
    )
    one = await opened(application, cookie)
    await watch(one, "workers")
    assert set(await heard(one)) == {"of", "seq"}
    await one.disconnect()


@pytest.mark.parametrize(
    ("codename", "flags", "sees"),
    [
        ("view_overview", {}, True),
        ("view_overview", {"is_staff": False}, False),
        ("view_worker", {}, False),
    ],
)
async def test_without_such_a_page_the_permission_says_it(
    codename: str, flags: Any, sees: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "registered", lambda model: iter(()))
    user = await in_thread(member)("lee", codename, **flags)
    one = await opened(application, await in_thread(cookie_of)(user))
    await watch(one, "overview")
    if sees:
        assert (await heard(one))["of"] == "overview"
        await one.disconnect()
    else:
        assert await closed(one) == 4403


# What it costs others -----------------------------------------------------------------


@BOTH
async def test_ten_sockets_cost_one_read_and_nobody_costs_none(
    whole: str, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "SHARED_SECONDS", 60.0)
    reads: list[Any] = []
    read = hub.read_whole
    monkeypatch.setattr(
        hub, "read_whole", lambda *args: reads.append(args) or read(*args)
    )
    ten = [await opened(application, cookie) for _ in range(10)]
    for one in ten:
        await watch(one, whole)
    for one in ten:
        await heard(one)
    assert len(reads) == 1
    for one in ten:
        await one.disconnect()
    await asyncio.sleep(0)
    assert hub.hub().watched() == []
    assert await in_thread(watched)(conf.DATABASE) <= {EVERYTHING}


async def test_all_sockets_of_one_person_are_looked_at_again_at_once(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(hub, "SHARED_SECONDS", 3_600.0)
    looks: list[Any] = []
    viewers: list[Any] = []
    look, viewer = LiveConsumer._look_at_rights, consumer.viewer_of

    async def noted(self: LiveConsumer) -> None:
        await look(self)
        looks.append(self)

    monkeypatch.setattr(LiveConsumer, "_look_at_rights", noted)
    ten = [await opened(application, cookie) for _ in range(10)]
    for one in ten:
        await watch(one, "overview")
        await heard(one)
    monkeypatch.setattr(
        consumer, "viewer_of", lambda scope: viewers.append(scope) or viewer(scope)
    )
    other = await in_thread(lambda: cookie_of(member("lee", "view_overview")))()
    eleventh = await opened(application, other)
    await watch(eleventh, "overview")
    await heard(eleventh)
    looks.clear()
    while len(set(looks)) < 11:
        await asyncio.sleep(0.01)
    # One for the other as they began to watch, and at most one a person behind that.
    assert len(viewers) <= 3
    for one in (*ten, eleventh):
        await one.disconnect()


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that a thread asks, within."""
    found: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        found.append(sql)
        return execute(sql, *rest)

    with connections[conf.DATABASE].execute_wrapper(note):
        yield found


async def test_two_hundred_watchers_of_one_task_cost_two_queries_a_second(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to it, and however often somebody rings."""
    # Who they are is asked for each of them, and is no cost of the task.
    monkeypatch.setattr(consumer, "LOOK_AGAIN_SECONDS", 3_600.0)
    settings.CQ_LIVE_SOCKETS = 200
    task = await in_thread(made)()
    cookie = await in_thread(lambda: cookie_of(member("kim", *ALL)))()
    everybody = []
    for _ in range(200):
        one = await opened(application, cookie)
        await watch(one, task, after=0)
        await heard(one)
        everybody.append(one)
    asking = counted()
    statements = await in_thread(asking.__enter__)()
    began, own = time.monotonic(), 0
    for turn in range(1, 4):
        before = len(statements)
        await in_thread(say)(task, f"line {turn}")
        own += len([sql for sql in statements[before:] if "lines_said" not in sql])
        hub.hub()._watched[task.pk].ring()
        for one in everybody:
            message = await one.receive_output(timeout=PATIENCE)
            assert [line["n"] for line in json.loads(message["text"])["log"]] == [turn]
    seconds = time.monotonic() - began
    await in_thread(asking.__exit__)(None, None, None)
    # A read is good for a second, and for its lines there is one statement more.
    assert len(statements) - own <= 2 * (seconds + 1)
    for one in everybody:
        await one.disconnect()


# What rings ---------------------------------------------------------------------------


@BOTH
@pytest.mark.direct
@pytest.mark.backend("postgres", "valkey")
async def test_who_runs_tasks_rings_for_who_watches_the_whole(
    whole: str, cookie: str, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is found by looking.
    monkeypatch.setattr(hub, "LOOK_SECONDS", 600.0)
    await in_thread(workers.start)()
    one = await opened(application, cookie)
    await watch(one, whole)
    await heard(one)
    running = await in_thread(tasks.speaks.delay)(600)
    while True:
        message = await one.receive_output(timeout=PATIENCE)
        if json.loads(message["text"])["running"]:
            break
    await in_thread(running.revoke)()
    await one.disconnect()
