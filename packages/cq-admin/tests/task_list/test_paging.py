"""The pages of the list: each begins at a row, in whatever order they are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.utils import timezone

from cq.ids import moment_of
from cq.models import Task
from cq.status import Status
from cq_admin.task_list import sources, windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"


@pytest.fixture(autouse=True)
def _three_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(admin.site._registry[Task]), "list_per_page", 3)


def changelist(client: Client, query: str) -> Any:
    page = client.get(f"{URL}{query}")
    assert page.status_code == 200
    return page.context["cl"]


def walk(client: Client, query: str, onward: str = "older") -> list[list[str]]:
    """The names on each page, as the links lead from one to the next; and back."""
    back = "newer" if onward == "older" else "older"
    pages, queries = [], []
    link: str | None = query
    while link is not None:
        found = changelist(client, link)
        queries.append(link)
        pages.append([row.name for row in found.result_list])
        assert len(pages) < 50
        assert getattr(found, back) is None or len(pages) > 1
        link = getattr(found, onward)
    names = [name for page in pages for name in page]
    seen = pages[-1]
    while (link := getattr(found, back)) is not None:
        found = changelist(client, link)
        seen = [row.name for row in found.result_list] + seen
    assert seen == names
    return pages


def walked(*args: Any) -> list[str]:
    return [name for page in walk(*args) for name in page]


ALL = ["n6", "n5", "n4", "n3", "n2", "n1", "n0"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?", ALL),
        ("?status=FAILURE,LOST", ALL),
        ("?status=FAILURE", ["n6", "n4", "n2", "n0"]),
        ("?status=FAILURE,LOST,COMPLETE", ALL),
        ("?name=n1,n2,n3,n5&status=LOST,FAILURE", ["n5", "n3", "n2", "n1"]),
        ("?queue=default", ALL),
        ("?level=top", ALL),
        ("?q=n", ALL),
        ("?since=1h", ALL),
        ("?attempts__gte=0", ALL),
    ],
)
def test_the_newest_come_first_and_pages_begin_at_a_row(
    staff: Client, row: Callable[..., Task], query: str, names: list[str]
) -> None:
    for n in range(7):
        row(Status.LOST if n % 2 else Status.FAILURE, name=f"n{n}")
    pages = walk(staff, query)
    assert [name for page in pages for name in page] == names
    assert all(len(page) == 3 for page in pages[:-1])


def test_subtasks_have_pages(staff: Client, row: Callable[..., Task]) -> None:
    root = row(name="root")
    for n in range(5):
        row(name=f"n{n}", parent=root, root=root)
    other = row(name="other")
    row(name="elsewhere", parent=other, root=other)
    assert walked(staff, f"?parent={root.pk}") == ["n4", "n3", "n2", "n1", "n0"]
    of_tree = ["n4", "n3", "n2", "n1", "n0", "root"]
    assert walked(staff, f"?root={root.pk}") == of_tree


def test_what_runs_longest_comes_first(staff: Client, row: Callable[..., Task]) -> None:
    now = timezone.now()
    for n, minutes in enumerate((3, 9, 1, 9, 7, 5, 2)):
        began = now - timedelta(minutes=minutes)
        row(Status.RUNNING, name=f"n{n}", worker_id=n % 2, started=began)
    found = ["n1", "n3", "n4", "n5", "n0", "n6", "n2"]
    assert walked(staff, "?status=RUNNING", "newer") == found
    assert walked(staff, "?worker=1", "newer") == ["n1", "n3", "n5"]
    assert walked(staff, "?status=RUNNING&q=n", "newer") == found
    assert "longest" in changelist(staff, "?status=RUNNING").order_said


def test_what_is_queued_comes_as_workers_will_take_it(
    staff: Client, row: Callable[..., Task]
) -> None:
    for n, (queue, priority) in enumerate(
        [
            ("a", 0),
            ("b", 0),
            ("a", 5),
            ("b", -5),
            ("a", 0),
            ("b", 5),
            ("a", 0),
            ("c", 0),
        ]
    ):
        row(Status.QUEUED, name=f"n{n}", queue=queue, priority=priority)
    row(Status.COMPLETE, name="done")
    found = ["n2", "n5", "n0", "n1", "n4", "n6", "n7", "n3"]
    assert walked(staff, "?status=QUEUED", "newer") == found
    of_two = ["n5", "n1", "n7", "n3"]
    assert walked(staff, "?status=QUEUED&queue=b,c", "newer") == of_two
    # By a name nothing is in that order but what is looked through.
    assert walked(staff, "?status=QUEUED&name=n0,n3") == ["n3", "n0"]
    mixed = ["n7", "n6", "n5", "n4", "n3", "n2", "n1", "n0"]
    assert walked(staff, "?status=QUEUED,LOST") == mixed


def test_more_queues_than_are_gone_through_are_told(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_PAIRS", 2)
    for n in range(3):
        row(Status.QUEUED, name=f"n{n}", queue=f"q{n}")
    text = staff.get(f"{URL}?status=QUEUED").content.decode()
    assert "There are more queues" in text
    assert "There are more queues" not in staff.get(f"{URL}?queue=q1").content.decode()


def test_new_tasks_do_not_move_an_older_page(
    staff: Client, row: Callable[..., Task]
) -> None:
    for n in range(5):
        row(name=f"n{n}")
    older = changelist(staff, "?").older
    row(name="new")
    assert [task.name for task in changelist(staff, older).result_list] == ["n1", "n0"]


def test_a_page_behind_the_end_leads_to_the_first(
    staff: Client, row: Callable[..., Task]
) -> None:
    first = row()
    found = changelist(staff, f"?before={first.pk}&queue=default")
    assert (found.result_list, found.known) == ([], None)
    assert found.top == "?queue=default"


@pytest.mark.parametrize(
    "query",
    [
        "?before=x",
        "?after=1_2",
        "?status=QUEUED&after=x",
        "?status=RUNNING&after=now_0193f0c2-1111-7222-8333-444455556666",
    ],
)
def test_a_place_that_means_nothing_leads_back(
    staff: Client, row: Callable[..., Task], query: str
) -> None:
    answer = staff.get(f"{URL}{query}")
    assert (answer.status_code, answer["Location"]) == (302, f"{URL}?e=1")


def test_there_are_no_numbers_of_pages(staff: Client, row: Callable[..., Task]) -> None:
    for _ in range(7):
        row()
    text = staff.get(URL).content.decode()
    assert "?p=" not in text
    assert "7 tasks" in text
    assert ">Older</a>" in text


# Looking further ----------------------------------------------------------------------


class Clock:
    """Seconds that pass when it is asked."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of which two rows are looked through, and then the time is up."""
    from cq_admin.task_pages.changelist import TaskChangeList

    monkeypatch.setattr(windows, "WINDOW", 2)
    monkeypatch.setattr(windows, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(TaskChangeList, "clock", property(lambda self: Clock(1)))


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("query", ["?q=nothing_has_it", "?queue=nowhere"])
def test_a_look_that_ends_before_all_was_looked_at_says_so(
    staff: Client, row: Callable[..., Task], query: str
) -> None:
    rows = [row(name=f"n{n}") for n in range(5)]
    link, looked = query, []
    while True:
        page = staff.get(f"{URL}{link}")
        text, further = page.content.decode(), page.context["cl"].further
        assert page.context["cl"].result_list == []
        if further is None:
            break
        looked.append(further.looked_at)
        assert "Looked at 2 tasks back to" in text
        assert "0 results" not in text
        assert "Nothing was found so far." in text
        assert moment_of(rows[5 - 2 * len(looked)].pk).isoformat() in further.back_to
        link = further.query
    assert looked == ["2", "2"]
    assert "Looked at" not in text


@pytest.mark.usefixtures("slow")
def test_looking_further_finds_all(staff: Client, row: Callable[..., Task]) -> None:
    for n in range(9):
        row(name="wanted" if n in (0, 5) else "other", queue="x" if n % 5 else "y")
    for query in ("?q=wanted", "?queue=y"):
        link, found = query, []
        while link is not None:
            one = changelist(staff, link)
            found += [row.name for row in one.result_list]
            link = one.further.query if one.further else None
        assert found == ["wanted", "wanted"]


def test_nothing_is_said_to_be_all_only_when_all_was_looked_at(
    staff: Client, row: Callable[..., Task]
) -> None:
    row()
    text = staff.get(f"{URL}?q=nothing_has_it").content.decode()
    assert "0 results" in text
    assert "0 tasks" in text


def test_a_window_grows_with_the_speed_of_the_database() -> None:
    wider = windows._next_width
    assert wider(10_000, 0, 1) == 40_000
    assert wider(10_000, 0.01, 1) == 40_000
    assert wider(40_000, 0.06, 1) == 40_000
    assert wider(40_000, 0.12, 1) == 20_000
    assert wider(40_000, 0.04, 0.01) == 10_000
    assert wider(10_000, 3, 1) == 10_000
    assert wider(160_000, 0.001, 1) == 160_000
