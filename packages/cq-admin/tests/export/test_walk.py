"""How an export is read: some at a time, and nothing is open in between."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from asked import questions
from django.contrib.admin.models import LogEntry
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.test import AsyncClient
from exported import URL, lines, names, table

from cq.conf import conf
from cq.models import Task
from cq.status import Status
from cq_admin.display.streaming import streamed
from cq_admin.task_list import windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("few_at_once")
def test_it_is_read_some_at_a_time_and_no_sooner_than_it_is_sent(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    for n in range(7):
        row(name=f"n{n}")
    answer = staff.get(f"{URL}export/ndjson/")
    sent: Iterator[bytes] = iter(answer)  # type: ignore[arg-type]
    assert next(sent) == b""
    parts, said = [], []
    for _ in range(4):
        parts.append(b"")
        said.append(questions(queries(lambda: parts.__setitem__(-1, next(sent)))))
    # Which they are, what they are, and their tags: as many however many went before.
    assert [len(some) for some in said] == [3, 3, 3, 3]
    assert [part.count(b"\n") for part in parts] == [2, 2, 2, 1]
    assert next(sent, None) is None
    for some in said:
        assert all("OFFSET" not in sql for sql in some)
    # By the id that the last one ended at, and no more than fit.
    assert ["LIMIT 3" in some[0] for some in said] == [True] * 4
    assert ["cq_tasks.id <" in some[0] for some in said] == [False, True, True, True]


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.django_db(transaction=True)
def test_nothing_is_open_between_two_parts(
    staff: Client, row: Callable[..., Task]
) -> None:
    for n in range(5):
        row(name=f"n{n}")
    connection = connections[conf.DATABASE]
    answer = staff.get(f"{URL}export/ndjson/")
    found = []
    for part in answer:
        assert not connection.in_atomic_block
        found += [json.loads(line)["name"] for line in part.splitlines()]
        # As a pooler, or a database that was restarted, may have it.
        if connection.vendor != "sqlite":  # its database would be gone
            connection.close()
    assert found == ["n4", "n3", "n2", "n1", "n0"]


@pytest.mark.usefixtures("few_at_once")
def test_what_comes_and_goes_meanwhile_moves_no_other(
    staff: Client, row: Callable[..., Task]
) -> None:
    made = [row(Status.FAILURE, name=f"n{n}") for n in range(6)]
    answer = staff.get(f"{URL}export/ndjson/?status=FAILURE")
    sent: Iterator[bytes] = iter(answer)  # type: ignore[arg-type]
    first = next(sent) + next(sent)
    row(Status.FAILURE, name="new")
    made[5].delete()
    Task.objects.filter(pk=made[2].pk).update(status=Status.LOST)
    rest = b"".join(sent)
    found = [json.loads(line)["name"] for line in (first + rest).splitlines()]
    assert found == ["n5", "n4", "n3", "n1", "n0"]


def test_what_no_index_has_is_looked_for_to_the_end(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "WINDOW", 2)
    monkeypatch.setattr(windows, "MOST_AT_ONCE", 2)
    for n in range(40):
        row(name=f"n{n}", queue="rare" if n in (1, 38) else "default")
    assert names(staff, "queue=rare") == ["n38", "n1"]
    assert names(staff, "q=n38") == ["n38"]


def test_under_asgi_it_is_sent_as_it_is_read(rf: Any) -> None:
    made = []

    def parts() -> Iterator[str]:
        for n in range(3):
            made.append(n)
            yield f"{n}\n"

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    by_asgi = streamed(ASGIRequest(scope, io.BytesIO()), parts(), "text/plain")
    assert by_asgi.is_async
    assert not streamed(rf.get("/"), parts(), "text/plain").is_async
    assert made == []


@pytest.mark.django_db(transaction=True)
async def test_under_asgi_it_is_the_same(row: Callable[..., Task]) -> None:
    from asgiref.sync import sync_to_async
    from django.contrib.auth import get_user_model

    make = sync_to_async(row)
    for n in range(3):
        await make(name=f"n{n}")
    user = await sync_to_async(get_user_model().objects.create_superuser)("staff")
    client = AsyncClient()
    await client.aforce_login(user)
    answer = await client.get(f"{URL}export/ndjson/")
    found = [part async for part in answer]  # type: ignore[union-attr]
    await sync_to_async(connections.close_all)()  # those of that thread
    text = b"".join(found).decode()
    assert [json.loads(line)["name"] for line in text.splitlines()] == [
        "n2",
        "n1",
        "n0",
    ]


def test_it_leaves_nothing_behind(staff: Client, row: Callable[..., Task]) -> None:
    made = row(Status.FAILURE)
    assert staff.post(f"{URL}export/csv/").status_code == 405
    before = Task.objects.values().get(pk=made.pk)
    lines(staff)
    table(staff)
    assert Task.objects.values().get(pk=made.pk) == before
    assert not LogEntry.objects.exists()
