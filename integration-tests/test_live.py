"""Sockets that watch tasks: what they are told, who may, and what they cost others."""

from __future__ import annotations

import asyncio
import functools
import json
import operator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from channels.testing import WebsocketCommunicator
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
    socket,
    watch,
)
from processes import PATIENCE

from cq.live.lines import MOST_LINES
from cq.live.state import LONGEST_MESSAGE
from cq.models import Task
from cq.progress.token import Token, write
from cq.status import Status
from cq_channels.live import access, application, consumer, hub, pages, sockets
from cq_channels.live import watch as watches
from cq_channels.live.consumer import LiveConsumer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from processes import Workers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _soon(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """No test waits for seconds, and what a thread has opened is closed behind it."""
    monkeypatch.setattr(hub, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(hub, "SHARED_SECONDS", 0.0)
    monkeypatch.setattr(watches, "BETWEEN_SECONDS", 0.01)
    # What a test has left open that failed is not another's fault.
    sockets._open.clear()
    yield
    assert not sockets._open
    await in_thread(connections.close_all)()


@pytest.fixture
async def cookie() -> Any:
    """The session of somebody who may see everything that a socket shows."""
    return await in_thread(lambda: cookie_of(member("kim", *ALL)))()


def numbers(state: dict[str, Any]) -> list[int]:
    return [line["n"] for line in state["log"]]


# What is told -------------------------------------------------------------------------


async def test_a_snapshot_comes_first_and_then_what_has_changed(cookie: str) -> None:
    task = await in_thread(made)(progress_total=4.0)
    await in_thread(say)(task, "one", "two")
    one = await opened(application, cookie)
    await watch(one, task)
    first = await heard(one)
    assert (first["of"], first["status"], numbers(first)) == (
        str(task.pk),
        "RUNNING",
        [1, 2],
    )
    await in_thread(say)(task, "three")
    assert numbers(await heard(one)) == [3]
    rows = Task.objects.filter(pk=task.pk)
    await in_thread(rows.update)(progress_done=2.0)
    changed = await heard(one)
    assert changed["progress"]["done"] == 2
    assert changed["log"] == []
    assert changed["seq"] >= first["seq"]
    assert await one.receive_nothing(timeout=0.2)
    await one.disconnect()


async def test_a_socket_that_is_cut_shows_every_line_once_and_in_order(
    cookie: str,
) -> None:
    task = await in_thread(made)()
    seen: list[int] = []
    said = 0
    for turn in range(20):
        await in_thread(say)(task, *(f"{turn}" for _ in range(30)))
        said += 30
        one = await opened(application, cookie)
        await watch(one, task, after=seen[-1] if seen else 0)
        # Cut in the middle: what was sent and not read is asked for again.
        state = await heard(one)
        seen += numbers(state)
        await in_thread(say)(task, "while it is there")
        said += 1
        await one.disconnect()
    one = await opened(application, cookie)
    await watch(one, task, after=seen[-1])
    while seen[-1] < said:
        seen += numbers(await heard(one))
    assert seen == list(range(1, said + 1))
    await one.disconnect()


async def test_a_long_log_comes_in_parts(cookie: str) -> None:
    task = await in_thread(made)(Status.COMPLETE)
    await in_thread(say)(task, *("x" for _ in range(MOST_LINES * 2 + 50)))
    one = await opened(application, cookie)
    await watch(one, task, after=0)
    parts = [numbers(await heard(one)) for _ in range(3)]
    assert [len(part) for part in parts] == [MOST_LINES, MOST_LINES, 50]
    assert functools.reduce(operator.iadd, parts, []) == list(
        range(1, MOST_LINES * 2 + 51)
    )
    assert await one.receive_nothing(timeout=0.2)
    await one.disconnect()


async def test_no_message_is_longer_than_64_kib(cookie: str) -> None:
    task = await in_thread(made)(error="\u20ac" * 10_000, exception="X")
    await in_thread(say)(task, *("\U0001f600" * 9_000 for _ in range(20)))
    one = await opened(application, cookie)
    await watch(one, task)
    message = await one.receive_output(timeout=5)
    assert len(message["text"].encode()) <= LONGEST_MESSAGE
    await one.disconnect()


async def test_it_can_pause_and_leave(cookie: str) -> None:
    task = await in_thread(made)()
    one = await opened(application, cookie)
    await watch(one, task)
    await heard(one)
    await one.send_json_to({"pause": True})
    await in_thread(say)(task, "meanwhile")
    assert await one.receive_nothing(timeout=0.2)
    await one.send_json_to({"pause": False})
    assert numbers(await heard(one)) == [1]
    await one.send_json_to({"unwatch": str(task.pk)})
    await in_thread(say)(task, "nobody looks")
    assert await one.receive_nothing(timeout=0.2)
    await watch(one, task, after=1)
    assert numbers(await heard(one)) == [2]
    await one.disconnect()


async def test_secrets_and_arguments_are_in_no_message(
    cookie: str, settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = "test_live.without_secrets"
    values = {"args": '["s3cret"]', "kwargs": '{"password":"s3cret"}'}
    task = await in_thread(made)(
        Status.FAILURE,
        error="s3cret",
        traceback="s3cret",
        exception="E",
        result='"s3cret"',
        progress_message="s3cret",
        **values,
    )
    await in_thread(say)(task, "it was s3cret")
    one = await opened(application, cookie)
    await watch(one, task)
    message = await one.receive_output(timeout=5)
    assert "s3cret" not in message["text"]
    assert "password" not in message["text"]
    assert json.loads(message["text"])["log"][0]["text"] == "it was ***"
    await one.disconnect()


def without_secrets(name: str, text: str) -> str:
    return text.replace("s3cret", "***")


# Who may ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codenames", "flags", "sees"),
    [
        (("view_task",), {}, "state"),
        (ALL, {}, "lines"),
        ((), {"is_superuser": True}, "lines"),
        (("view_task_log",), {}, 4403),
        (("retry_task", "revoke_task", "view_task_args", "view_worker"), {}, 4403),
        ((), {}, 4403),
        (ALL, {"is_staff": False}, 4403),
        (ALL, {"is_active": False}, 4403),
        ((), {"is_superuser": True, "is_staff": False}, 4403),
        (None, {}, 4403),
    ],
)
async def test_row_s3_who_may_watch(codenames: Any, flags: Any, sees: Any) -> None:
    task = await in_thread(made)()
    await in_thread(say)(task, "a line")
    cookie = ""
    if codenames is not None:
        user = await in_thread(member)("lee", *codenames, **flags)
        cookie = await in_thread(cookie_of)(user)
    one = await opened(application, cookie)
    await watch(one, task)
    if isinstance(sees, int):
        assert await closed(one) == sees
    else:
        state = await heard(one)
        assert numbers(state) == ([1] if sees == "lines" else [])
        await one.disconnect()


async def test_row_s3_who_may_not_look_learns_nothing_of_what_there_is() -> None:
    cookie = await in_thread(lambda: cookie_of(member("lee")))()
    for one_id in (uuid4(), (await in_thread(made)()).pk):
        one = await opened(application, cookie)
        await watch(one, one_id)
        assert await closed(one) == 4403


@pytest.mark.parametrize("name", ["kim", "root"])
async def test_an_unknown_task_is_one_answer_for_everybody(
    cookie: str, name: str
) -> None:
    if name == "root":
        user = await in_thread(member)("root", is_superuser=True)
        cookie = await in_thread(cookie_of)(user)
    one = await opened(application, cookie)
    await watch(one, uuid4())
    assert await closed(one) == 4404


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://testserver.evil.example", ""]
)
async def test_row_s4_another_site_gets_no_socket(cookie: str, origin: str) -> None:
    one = socket(application, cookie, origin=origin)
    connected, _code = await one.connect(timeout=5)
    assert not connected


async def test_row_s4_another_site_gets_none_where_any_host_is_allowed(
    cookie: str, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    headers = [(b"host", b"testserver"), (b"origin", b"https://evil.example")]
    one = WebsocketCommunicator(LiveConsumer.as_asgi(), "/ws/cq/", headers=headers)
    connected, code = await one.connect(timeout=5)
    assert (connected, code) == (False, 4403)


async def test_another_address_is_refused(cookie: str) -> None:
    connected, _ = await socket(application, cookie, path="/ws/x/").connect(timeout=5)
    assert not connected


@pytest.mark.parametrize("how", ["right", "staff", "active", "logout", "password"])
async def test_row_s5_who_loses_the_right_is_sent_away(
    cookie: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "LOOK_AGAIN_SECONDS", 0.05)
    task = await in_thread(made)()
    one = await opened(application, cookie)
    await watch(one, task)
    await heard(one)
    await in_thread(lose)(how)
    assert await closed(one) == 4403


def lose(how: str) -> None:
    from django.contrib.auth import get_user_model
    from django.contrib.sessions.models import Session

    user = get_user_model().objects.get(username="kim")
    if how == "right":
        user.user_permissions.clear()
    elif how == "logout":
        Session.objects.all().delete()
    else:
        if how == "password":
            user.set_password("another")
        elif how == "staff":
            user.is_staff = False
        else:
            user.is_active = False
        user.save()


async def test_an_admin_that_shows_some_tasks_only_shows_no_others_here(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cq_admin.task_pages.admin import TaskAdmin

    whole = TaskAdmin.get_queryset
    monkeypatch.setattr(
        TaskAdmin,
        "get_queryset",
        lambda self, request: whole(self, request).exclude(name="live.hidden"),
    )
    shown = await in_thread(made)(Status.WAITING)
    hidden = await in_thread(made)(name="live.hidden", parent=shown, root_id=shown.pk)
    await in_thread(say)(shown, "shown")
    await in_thread(say)(hidden, "hidden", root=shown)
    one = await opened(application, cookie)
    await watch(one, shown)
    assert numbers(await heard(one)) == [1]
    await watch(one, hidden)
    assert await closed(one) == 4404


# What it costs others -----------------------------------------------------------------


async def test_ten_sockets_on_one_task_cost_one_read(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "SHARED_SECONDS", 60.0)
    reads: list[Any] = []
    states: list[Any] = []
    read, state = hub.read, access.Reading.state
    monkeypatch.setattr(hub, "read", lambda *args: reads.append(args) or read(*args))
    monkeypatch.setattr(
        access.Reading,
        "state",
        lambda self, *args, **flags: states.append(args) or state(self, *args, **flags),
    )
    task = await in_thread(made)()
    await in_thread(say)(task, "one")
    ten = [await opened(application, cookie) for _ in range(10)]
    for one in ten:
        await watch(one, task)
    assert [numbers(await heard(one)) for one in ten] == [[1]] * 10
    assert len(reads) == 1
    assert len(states) == 1
    for one in ten:
        await one.disconnect()


async def test_nobody_watches_any_more_and_nothing_is_read(cookie: str) -> None:
    task = await in_thread(made)()
    one = await opened(application, cookie)
    await watch(one, task)
    await heard(one)
    assert hub.hub().watched() == [task.pk]
    await one.disconnect()
    await asyncio.sleep(0)
    assert hub.hub().watched() == []


async def test_a_slow_reader_skips_to_the_last_lines_and_holds_nobody_up(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "SLOW_SECONDS", 0.1)
    task = await in_thread(made)()
    await in_thread(say)(task, "first")
    may_go_on, waits = asyncio.Event(), asyncio.Event()
    got: list[Any] = []
    scope = socket(application, cookie).scope
    inbox: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            got.append(json.loads(message["text"]))
            if len(got) == 1:
                waits.set()
                await may_go_on.wait()
            if len(got) == 2:
                inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})

    inbox.put_nowait({"type": "websocket.connect"})
    text = json.dumps({"watch": str(task.pk), "after": 0})
    inbox.put_nowait({"type": "websocket.receive", "text": text})
    slow = asyncio.create_task(application(scope, inbox.get, send))
    await waits.wait()

    quick = await opened(application, cookie)
    await watch(quick, task, after=0)
    assert numbers(await heard(quick)) == [1]
    for _ in range(3):
        await in_thread(say)(task, *("more" for _ in range(MOST_LINES)))
    seen: list[int] = []
    while len(seen) < 3 * MOST_LINES:
        seen += numbers(await heard(quick))
    assert seen == list(range(2, 3 * MOST_LINES + 2))
    await quick.disconnect()

    await asyncio.sleep(0.15)
    may_go_on.set()
    await slow
    assert numbers(got[1]) == list(range(2 * MOST_LINES + 2, 3 * MOST_LINES + 2))
    assert got[1]["gap"]


async def test_row_s6_who_floods_is_sent_away(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MOST_MESSAGES", 5)
    one = await opened(application, cookie)
    for _ in range(6):
        await one.send_json_to({"pause": True})
    assert await closed(one) == 4429


async def test_row_s6_who_says_nothing_is_sent_away(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "SILENT_SECONDS", 0.02)
    assert await closed(await opened(application, cookie)) == 4408


@pytest.mark.parametrize("text", ["nonsense", '{"watch": 3}', "{" * 5_000])
async def test_what_cannot_be_read_ends_it(cookie: str, text: str) -> None:
    one = await opened(application, cookie)
    await one.send_to(text_data=text)
    assert await closed(one) == 4400


async def test_bytes_end_it(cookie: str) -> None:
    one = await opened(application, cookie)
    await one.send_to(bytes_data=b"\xff")
    assert await closed(one) == 4400


async def test_a_socket_that_fails_is_closed_and_leaves_nothing(
    cookie: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: Any) -> Any:
        raise RuntimeError("the database is away")

    task = await in_thread(made)()
    one = await opened(application, cookie)
    await watch(one, task)
    await heard(one)
    assert sockets._open
    monkeypatch.setattr(consumer, "sight_of", broken)
    await watch(one, await in_thread(made)())
    assert await closed(one) == 1011
    await one.wait(timeout=PATIENCE)
    assert not sockets._open
    assert hub.hub().watched() == []
    assert "the database is away" in caplog.text


async def test_users_of_two_classes_with_one_key_are_two() -> None:
    class Member:
        pk = 5

    class Guest:
        pk = 5

    one, other = (access.person_of({"user": who()}) for who in (Member, Guest))
    assert one != other


async def test_row_s6_a_socket_watches_twenty_tasks(cookie: str) -> None:
    tasks = [await in_thread(made)() for _ in range(21)]
    one = await opened(application, cookie)
    for task in tasks[:20]:
        await watch(one, task)
        assert (await heard(one))["of"] == str(task.pk)
    await watch(one, tasks[20])
    assert await closed(one) == 4429
    assert hub.hub().watched() == []


async def test_row_s6_a_user_has_so_many_sockets(cookie: str, settings: Any) -> None:
    settings.CQ_LIVE_SOCKETS = 2
    task = await in_thread(made)()
    two = [await opened(application, cookie) for _ in range(2)]
    for one in two:
        await watch(one, task)
        await heard(one)
    third = await opened(application, cookie)
    await watch(third, task)
    assert await closed(third) == 4429
    await two[0].disconnect()
    fourth = await opened(application, cookie)
    await watch(fourth, task)
    await heard(fourth)
    for one in (two[1], fourth):
        await one.disconnect()


async def test_a_task_that_is_deleted_ends_it(cookie: str) -> None:
    task = await in_thread(made)()
    one = await opened(application, cookie)
    await watch(one, task)
    await heard(one)
    await in_thread(Task.objects.filter(pk=task.pk).delete)()
    assert await closed(one) == 4404


# What rings ---------------------------------------------------------------------------


@pytest.mark.direct
@pytest.mark.backend("postgres", "valkey")
async def test_who_runs_a_task_rings_for_who_watches_it(
    cookie: str, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is found by looking.
    monkeypatch.setattr(hub, "LOOK_SECONDS", 600.0)
    await in_thread(workers.start)()
    task = await in_thread(tasks.speaks.delay)(600)
    one = await opened(application, cookie)
    await watch(one, task, after=0)
    seen = numbers(await heard(one))
    while len(seen) < 5:
        message = await one.receive_output(timeout=PATIENCE)
        seen += numbers(json.loads(message["text"]))
    assert seen == list(range(1, len(seen) + 1))
    await in_thread(task.revoke)()
    while json.loads((await one.receive_output(PATIENCE))["text"])["status"] != (
        Status.REVOKED
    ):
        pass
    await one.disconnect()


async def test_the_pages_of_a_project_say_who_may_look(
    cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cq_admin.task_pages.admin import TaskAdmin

    monkeypatch.setattr(TaskAdmin, "has_view_permission", lambda *_: False)
    one = await opened(application, cookie)
    await watch(one, await in_thread(made)())
    assert await closed(one) == 4403


@pytest.mark.parametrize(
    ("codenames", "flags", "sees"),
    [
        (("view_task",), {}, []),
        (ALL, {}, [1]),
        ((), {}, None),
        (ALL, {"is_staff": False}, None),
    ],
)
async def test_without_such_pages_the_permissions_say_it(
    codenames: Any, flags: Any, sees: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "registered", lambda model: iter(()))
    task = await in_thread(made)()
    await in_thread(say)(task, "a line")
    cookie = await in_thread(lambda: cookie_of(member("lee", *codenames, **flags)))()
    one = await opened(application, cookie)
    await watch(one, task)
    if sees is None:
        assert await closed(one) == 4403
    else:
        assert numbers(await heard(one)) == sees
        await one.disconnect()


# Tokens -------------------------------------------------------------------------------


async def test_who_has_a_token_sees_what_end_users_see() -> None:
    task = await in_thread(made)(
        Status.FAILURE, error="s3cret", exception="shop.Oops", progress_total=4.0
    )
    await in_thread(say)(task, "not for them")
    one = await opened(application)
    await watch(one, task, token=task.token(log=True))
    state = await heard(one)
    assert (state["v"], state["done"], state["log"]) == (1, True, [])
    assert "s3cret" not in json.dumps(state)
    assert "Oops" not in json.dumps(state)
    await one.disconnect()


@pytest.mark.parametrize("what", ["forged", "expired", "other", "bound", "empty"])
async def test_row_s16_a_token_that_is_not_taken_is_one_answer(what: str) -> None:
    task, other = await in_thread(made)(), await in_thread(made)()
    token = {
        "forged": lambda: task.token()[:-1] + "!",
        "expired": lambda: write(Token(task.pk), -5.0),
        "other": lambda: other.token(),
        "bound": lambda: task.token(user=4711),
        "empty": lambda: "",
    }[what]()
    one = await opened(application)
    await watch(one, task, token=token)
    assert await closed(one) == 4404


async def test_a_token_that_runs_out_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "LOOK_AGAIN_SECONDS", 0.05)
    task = await in_thread(made)()
    one = await opened(application)
    await watch(one, task, token=write(Token(task.pk), 60.0))
    await heard(one)
    monkeypatch.setattr("cq.progress.token.time.time", lambda: 2.0**32)
    assert await closed(one) == 4401


async def test_a_token_that_is_bound_wants_the_session_of_its_user() -> None:
    task = await in_thread(made)()
    user = await in_thread(member)("lee", is_staff=False)
    one = await opened(application, await in_thread(cookie_of)(user))
    await watch(one, task, token=task.token(user=user))
    assert (await heard(one))["of"] == str(task.pk)
    await one.disconnect()
