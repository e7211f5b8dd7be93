"""Who gets an export, and what of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from exported import URL, lines, names, table, text_of

from cq import task
from cq.models import Tag, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

#: Unlike the number of a card it stands in no id and no time.
CARD = "card-4111"
KINDS = pytest.mark.parametrize("kind", ["csv", "ndjson"])


@task("export_rights.pay", redact=("card",))
def pay(cqt: Any, who: str, card: str = "") -> None: ...


@pytest.fixture
def paid(row: Callable[..., Task]) -> Task:
    made: Task = row(
        Status.FAILURE,
        name="export_rights.pay",
        args=f'["ann","{CARD}"]',
        kwargs='{"api_token":"s3cret","headers":[["cookie","s3cret"]],"to":"bob"}',
        result='{"token":"s3cret","said":"done9"}',
        error="refused",
    )
    return made


@KINDS
def test_row_s10_an_export_is_for_who_may_see_tasks(
    client: Client, login: Callable[..., Client], paid: Task, kind: str
) -> None:
    address = f"{URL}export/{kind}/"
    assert client.get(address).status_code == 302
    client = login("view_task_args", "view_task_log", "change_task", "view_overview")
    assert client.get(address).status_code == 403
    assert client.get(f"{URL}export/nonsense/").status_code == 403
    for method in (client.post, client.put, client.delete, client.head):
        assert method(address).status_code == 405


@KINDS
def test_row_s11_values_are_exported_for_who_may_see_them(
    login: Callable[..., Client], paid: Task, kind: str
) -> None:
    text = text_of(login("view_task", "view_task_log"), kind)
    for value in ("ann", "bob", "done9", "kwargs"):
        assert value not in text
    assert "refused" in text
    assert str(paid.pk) in text


@KINDS
def test_row_s11_what_is_secret_is_in_no_export(
    staff: Client, paid: Task, kind: str
) -> None:
    text = text_of(staff, kind)
    for value in ("s3cret", CARD):
        assert value not in text
    for value in ("ann", "bob", "done9"):
        assert value in text
    assert text.count("********") == 4


def test_row_s11_no_search_exports_what_is_hidden(staff: Client, paid: Task) -> None:
    for word in ("s3cret", CARD, "api_token:s3cret"):
        assert names(staff, f"q={word}") == []
    assert names(staff, "q=bob") == ["export_rights.pay"]


def test_who_may_not_see_arguments_exports_nothing_by_them(
    login: Callable[..., Client], paid: Task
) -> None:
    client = login("view_task")
    assert names(client, "q=bob") == []
    assert names(client, "q=pay") == ["export_rights.pay"]
    answer = client.get(f"{URL}export/csv/?q=to:bob")
    assert answer.status_code == 400
    assert "by those who may see them" in answer.content.decode()


def mask(task_name: str, text: str) -> str:
    return text.replace(CARD * 4, "#" * len(CARD) * 4)


def test_row_s11_errors_are_exported_as_the_project_has_them(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = f"{__name__}.mask"
    row(Status.FAILURE, error="x" * 3_990 + f"{CARD * 4} and more")
    [found] = lines(staff)
    assert found["error"] == "x" * 3_990 + "#######..."
    assert CARD not in table(staff)[0]["error"]


# By the object ------------------------------------------------------------------------


def test_each_task_is_asked_for(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = type(admin.site._registry[Task])

    def sees(self: Any, request: Any, obj: Any = None) -> bool:
        return obj is None or obj.queue != "theirs"

    mine = row(name="mine", args='["bob"]')
    row(name="theirs", args='["bob"]', queue="theirs")
    monkeypatch.setattr(pages, "has_view_args_permission", sees)
    theirs, own = lines(staff)
    assert (own["args"], own["kwargs"]) == (["bob"], {})
    assert [theirs[name] for name in ("args", "kwargs", "result")] == [None] * 3
    assert [one["args"] for one in table(staff)] == ["", '["bob"]']
    # Nor is it found by them.
    assert [one["id"] for one in lines(staff, "q=bob")] == [str(mine.pk)]

    monkeypatch.setattr(pages, "has_view_permission", sees)
    assert names(staff) == ["mine"]


def test_tasks_of_others_are_not_in_it_nor_named(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = type(admin.site._registry[Task])
    own = pages.get_queryset

    def get_queryset(self: Any, request: Any) -> Any:
        return own(self, request).exclude(queue="theirs")

    monkeypatch.setattr(pages, "get_queryset", get_queryset)
    above = row(name="above", queue="theirs")
    mine = row(name="mine", parent=above, root=above)
    row(name="below", parent=mine, root=above)
    row(name="beside", parent=above, root=above, queue="theirs")

    below, found = lines(staff)

    assert (below["name"], found["name"]) == ("below", "mine")
    assert (below["parent"], below["root"]) == (str(mine.pk), None)
    assert (found["parent"], found["root"]) == (None, None)
    assert str(above.pk) not in text_of(staff, "csv")


def test_a_task_that_pages_have_joined_twice_is_in_it_once(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = type(admin.site._registry[Task])
    own = pages.get_queryset

    def get_queryset(self: Any, request: Any) -> Any:
        return own(self, request).filter(tag_rows__tag__in=["a", "b"])

    monkeypatch.setattr(pages, "get_queryset", get_queryset)
    made = row(name="mine")
    row(name="other")
    for tag in "ab":
        Tag.objects.create(task=made, tag=tag)
    assert names(staff) == ["mine"]
