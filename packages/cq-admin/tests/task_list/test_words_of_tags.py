"""Words of the search that are found in the tags of a task."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cq_admin.task_list import windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from cq.models import Task

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"


def names(client: Client, search: str) -> list[str]:
    page = client.get(URL, {"q": search})
    assert page.status_code == 200
    return [row.name for row in page.context["cl"].result_list]


@pytest.fixture
def tagged(row: Callable[..., Task]) -> Callable[..., Task]:
    def make(*own: str, above: Any = (), **columns: Any) -> Task:
        options = {"tags": own, "tags_from_parent": above, "retries": 3}
        made: Task = row(options=options, **{"name": "it", **columns})
        return made

    return make


@pytest.mark.parametrize(
    "word",
    ["Order", "4711", "rder", "order-4711", "eu", "it", "it 4711", "4711 eu"],
)
def test_a_word_is_found_in_a_tag(
    staff: Client, row: Callable[..., Task], tagged: Callable[..., Task], word: str
) -> None:
    row(name="other")
    tagged("us", name="another")
    tagged("ORDER:4711", "order-4711", above=["eu"])
    assert names(staff, word) == ["it"]


@pytest.mark.parametrize(
    ("tag", "word"),
    [
        ('say "hi"', '"hi"'),
        ("a\\b", "a\\b"),
        ("Zoë", "zoë"),
        ("Zoë", "Zoë"),
        ("Ä\\ö", "\\ö"),
        ("100%", "100%"),
        ("a_b", "a_b"),
        ("\U0001f600", "\U0001f600"),
        ("<b>", "<b>"),
    ],
)
def test_whatever_it_is_written_with(
    staff: Client, tagged: Callable[..., Task], tag: str, word: str
) -> None:
    tagged("axb", "100", name="other")
    tagged(tag)
    assert names(staff, word) == ["it"]


@pytest.mark.parametrize("word", ["tags", "retries", '"', "[", '","', "parent", "3"])
def test_what_stands_around_them_is_not(
    staff: Client, tagged: Callable[..., Task], word: str
) -> None:
    tagged("eu", "us", above=["de"])
    assert names(staff, word) == []


def test_it_needs_no_permission_to_see_arguments(
    login: Callable[..., Client], tagged: Callable[..., Task]
) -> None:
    tagged("order:4711", args='["bob"]')
    client = login("view_task")
    assert names(client, "4711") == ["it"]
    assert names(client, "4711 bob") == []
    text = client.get(URL).content.decode()
    assert "Words of the name and of tags, or:" in text


def test_a_word_of_a_tag_and_one_of_an_argument(
    staff: Client, tagged: Callable[..., Task]
) -> None:
    tagged("order:4711", args='["bob"]')
    assert names(staff, "4711 bob") == ["it"]
    assert names(staff, "4711 ann") == []


@pytest.mark.parametrize(
    "options", [{"tags": "order:4711"}, {"tags": {"4711": 1}}, {"tags": [4711]}, [4711]]
)
def test_what_is_no_tag_stops_nothing(
    staff: Client, row: Callable[..., Task], options: Any
) -> None:
    row(name="it", options=options)
    assert names(staff, "4711") == []
    assert names(staff, "it") == ["it"]


def test_nothing_more_is_asked_of_the_database_than_the_rows(
    staff: Client,
    tagged: Callable[..., Task],
    queries: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "WINDOW", 2)
    for n in range(5):
        tagged(f"order:{n}", name=f"n{n}")
    sent = queries(lambda: names(staff, "order"))
    assert not [sql for sql in sent if "cq_tags" in sql]
    by_name = queries(lambda: names(staff, "name:nowhere"))
    assert not [sql for sql in by_name if "tags_from_parent" in sql]
    assert names(staff, "order") == ["n4", "n3", "n2", "n1", "n0"]


def test_as_many_as_a_task_may_have_are_looked_at(
    staff: Client, tagged: Callable[..., Task]
) -> None:
    long = [f"{n}{'ö' * 99}" for n in range(10)]
    tagged(*long[:9], above=["last" + "ö" * 96])
    assert len(json.dumps(long)) > 5_900
    assert names(staff, "last") == ["it"]
    assert names(staff, "8ö") == ["it"]
