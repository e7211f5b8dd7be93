"""The list where tasks have lanes: all of them are in it, each once, on whatever page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.db import connection

from cq.models import Lane, Task
from cq.status import Status
from cq_admin.task_list import sources
from cq_admin.task_list.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"
LANES = [UUID(int=(number << 100) + number) for number in range(9)]


def changelist(client: Client, query: str) -> Any:
    page = client.get(f"{URL}{query}")
    assert page.status_code == 200
    return page.context["cl"]


def walked(client: Client, query: str, onward: str = "older") -> list[str]:
    """The names on all pages, as the links lead from one to the next; and back."""
    back = "newer" if onward == "older" else "older"
    names: list[str] = []
    link: str | None = query
    while link is not None:
        found = changelist(client, link)
        names += [task.name for task in found.result_list]
        assert len(names) < 100
        link = getattr(found, onward)
    seen = [task.name for task in found.result_list]
    while (link := getattr(found, back)) is not None:
        found = changelist(client, link)
        seen = [task.name for task in found.result_list] + seen
    assert seen == names
    return names


@pytest.fixture
def queued(
    row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Makes tasks that are QUEUED, by their lanes; 0: none. Three are on a page."""
    monkeypatch.setattr(type(admin.site._registry[Task]), "list_per_page", 3)

    def make(*lanes: int, listed: bool = True, **columns: Any) -> None:
        for number in lanes:
            name = f"n{Task.objects.count()}"
            own: dict[str, Any] = {"lane": LANES[number] if number else None}
            if number and listed:
                own["listed"] = True
            task = row(Status.QUEUED, name=name, **own, **columns)
            if "listed" in own:
                Lane.objects.get_or_create(
                    queue=task.queue,
                    priority=task.priority,
                    lane=task.lane,
                    defaults={"name": name, "options": {}, "head": task.pk},
                )

    return make


def test_what_has_a_lane_comes_behind_all_else_of_its_priority(
    staff: Client, queued: Callable[..., None]
) -> None:
    queued(2, 0, 1, 1, 0, 2, 1, 0, 2, 1, queue="a")  # n0 to n9
    queued(3, 0, queue="b", listed=False)  # n10, n11
    queued(0, 1, 1, queue="a", priority=-5)  # n12 to n14
    queued(4, queue="c", priority=7)  # n15
    first = ["n15", "n1", "n4", "n7", "n11", "n2", "n3", "n6", "n9", "n0", "n5", "n8"]
    last = ["n12", "n13", "n14"]
    assert walked(staff, "?status=QUEUED", "newer") == [*first, "n10", *last]
    assert walked(staff, "?status=QUEUED&queue=b,c", "newer") == ["n15", "n11", "n10"]
    assert "take turns" in changelist(staff, "?status=QUEUED").order_said


@pytest.mark.parametrize("most", [100, 2])
@pytest.mark.parametrize("listed", [True, False])
def test_by_age_all_are_there(
    staff: Client,
    queued: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    *,
    listed: bool,
) -> None:
    monkeypatch.setattr(sources, "MOST_LANES", most)
    queued(2, 0, 1, 1, 3, 0, 2, 1, queue="a", listed=listed)
    queued(2, 0, queue="b", listed=listed)
    names = [f"n{n}" for n in reversed(range(10))]
    assert walked(staff, "?status=QUEUED,FAILURE") == names
    assert walked(staff, "?status=QUEUED&q=n") == names
    few = ["n8", "n7", "n4", "n1"]
    assert walked(staff, "?status=QUEUED&name=n1,n4,n7,n8") == few
    assert walked(staff, "?status=QUEUED&queue=b&since=1h") == ["n9", "n8"]


def test_all_are_counted(staff: Client, queued: Callable[..., None]) -> None:
    queued(1, 1, 2, 0, queue="a")
    assert "4 tasks" in staff.get(f"{URL}?status=QUEUED").content.decode()
    assert "4 tasks" in staff.get(f"{URL}?status=QUEUED,LOST").content.decode()


def test_a_queue_of_tasks_with_lanes_alone_has_work(
    queued: Callable[..., None],
) -> None:
    queued(1, 2, queue="held")
    serving = Serving("default")
    assert serving.has_work("held")
    assert "held" in serving.queues(None, is_narrowed=False)


@pytest.mark.backend("sqlite")
def test_each_statement_takes_an_index(
    staff: Client,
    queued: Callable[..., None],
    queries: Callable[..., list[str]],
    reads_a_table: Callable[[str], bool],
) -> None:
    queued(1, 2, 0, 1, queue="a")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for query in ("status=QUEUED", "status=QUEUED,LOST", "status=QUEUED&name=n1"):
        for sql in queries(lambda query=query: staff.get(f"{URL}?{query}")):
            if "cq_workers" not in sql:
                assert not reads_a_table(sql), sql
