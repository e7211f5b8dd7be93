"""The search of the list: what it finds, and what nobody finds by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cq import task
from cq.display.redaction import HIDDEN
from cq.models import Task
from cq.status import Status
from cq_admin.task_list import matching, windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"


@task("search.charge", redact=("card",))
def charge(
    cqt: Any, order_id: int, customer: Any = None, card: str = "", flag: bool = False
) -> None: ...


def names(client: Client, search: str, **query: Any) -> list[str]:
    page = client.get(URL, {"q": search, **query})
    assert page.status_code == 200
    return [row.name for row in page.context["cl"].result_list]


@pytest.fixture
def charged(row: Callable[..., Task]) -> Task:
    customer = {
        "city": "New York",
        "tags": ["vip", {"since": 1999}],
        "when": {"$": "date", "v": "2026-07-01"},
        "api_token": "hunter2",
        "pairs": {"$": "dict", "v": [[1, "one"], ["pin", "4444"]]},
    }
    row(name="other.task", args='["4712"]')
    made: Task = row(
        Status.FAILURE,
        name="search.charge",
        args=json.dumps([4711, customer]),
        kwargs='{"card":"4111222","flag":true}',
        queue="pay",
        exception="shop.errors.GatewayTimeout",
        error="no answer for order 4711",
    )
    return made


FOUND = ["search.charge"]


@pytest.mark.parametrize(
    "search",
    [
        "order_id:4711",
        'customer.city:"new york"',
        "customer.tags:vip",
        "customer.tags.0:vip",
        "customer.tags.since:1999",
        "customer.when:2026-07-01",
        "customer.pairs.1:one",
        "flag:true",
        "error:gatewaytimeout",
        "error:ANSWER",
        "error:answer status:failed queue:pay",
        "name:search.charge",
        "name:CH.CHARG",
        "charge order_id:4711",
        "vip 4711",
        "since:1h charge",
    ],
)
def test_terms_find_it(staff: Client, charged: Task, search: str) -> None:
    assert names(staff, search) == FOUND


@pytest.mark.parametrize(
    "search",
    [
        "order_id:471",
        "order_id:4712",
        "order:4711",
        "customer.city:York",
        "customer.tags.1:vip",
        "customer:vip",
        "city:York",
        "flag:false",
        "error:nothing_like_it",
        "error:answer status:lost",
        "charge order_id:4712",
        "status:complete charge",
        "until:1h charge",
    ],
)
def test_terms_do_not_find_what_is_another(
    staff: Client, charged: Task, search: str
) -> None:
    assert "search.charge" not in names(staff, search)


def test_an_id_may_be_given_by_its_beginning(staff: Client, charged: Task) -> None:
    # The other was made in the same millisecond, perhaps.
    assert names(staff, f"id:{str(charged.pk)[:30]}") == FOUND
    assert names(staff, f"id:{charged.pk.hex} status:lost") == []


def test_a_name_that_is_registered_nowhere_is_searched_for(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(Status.LOST, name="Renamed.Task")
    row(name="other")
    assert names(staff, "name:renamed") == ["Renamed.Task"]
    assert names(staff, "name:renamed status:lost") == ["Renamed.Task"]
    assert names(staff, "name:renamed", status="LOST") == ["Renamed.Task"]
    assert names(staff, "name:med.", name="Renamed.Task,other") == ["Renamed.Task"]


def test_what_is_not_understood_is_said_and_finds_nothing(
    staff: Client, charged: Task
) -> None:
    text = staff.get(URL, {"q": "charge status:broken"}).content.decode()
    assert "broken is no status." in text
    assert names(staff, "charge status:broken") == []


# What nobody finds --------------------------------------------------------------------


@pytest.mark.parametrize(
    "search",
    [
        "hunter2",
        "hunt",
        "unter",
        "4111222",
        "41112",
        "4444",
        "customer.api_token:hunter2",
        "api_token:hunter2",
        "customer.pairs.pin:4444",
        "card:4111222",
        "card:41112",
        '"hunter2',
        'api_token":"hunter2',
        "charge hunter2",
    ],
)
def test_row_s11_a_hidden_value_is_found_by_no_part_of_it(
    staff: Client, charged: Task, search: str
) -> None:
    assert names(staff, search) == []
    page = staff.get(URL, {"q": search}).content.decode()
    nonsense = staff.get(URL, {"q": "nonsense_that_is_nowhere"}).content.decode()
    assert page.count("0 results") == nonsense.count("0 results") == 1
    assert "Looked at" not in page


@pytest.mark.parametrize(
    "search",
    ["vip", "4712", "order_id:4711", "customer.city:New", "flag:true", "charge vip"],
)
def test_row_s11_who_may_not_see_arguments_finds_nothing_by_them(
    login: Callable[..., Client], charged: Task, search: str
) -> None:
    client = login("view_task")
    assert names(client, search) == []
    assert names(client, "search.charge") == FOUND
    assert names(client, "error:GatewayTimeout") == FOUND
    text = client.get(URL, {"q": "order_id:4711"}).content.decode()
    assert "Arguments are searched by those who may see them." in text
    assert "order_id:4711</code>" not in text


def no_orders(task_name: str, path: Any, value: Any) -> Any:
    return HIDDEN if "order_id" in path else value


def test_row_s11_what_the_projects_function_hides_is_not_found(
    staff: Client, charged: Task, settings: Any
) -> None:
    settings.CQ_REDACT = f"{__name__}.no_orders"
    assert names(staff, "order_id:4711") == []
    assert names(staff, "4711") == []
    assert names(staff, "vip") == FOUND


def drop_digits(task_name: str, text: str) -> str:
    return "".join("#" if c.isdigit() else c for c in text)


def test_row_s11_an_error_is_searched_as_it_is_shown(
    staff: Client, charged: Task, settings: Any
) -> None:
    assert names(staff, "error:4711") == FOUND
    settings.CQ_REDACT_TEXT = f"{__name__}.drop_digits"
    assert names(staff, "error:4711") == []
    assert names(staff, "error:answer") == FOUND


def test_row_s11_of_what_is_cut_off_nothing_is_found(
    staff: Client, row: Callable[..., Task]
) -> None:
    long = matching.LONGEST_LOOKED_AT
    row(name="a.cut", args=json.dumps(["begins", "x" * long, "ends"]))
    assert names(staff, "begins") == ["a.cut"]
    assert names(staff, "xxx") == []
    assert names(staff, "ends") == []


def test_row_s21_arguments_are_read_at_their_beginning_and_a_thousand_at_once(
    staff: Client,
    row: Callable[..., Task],
    queries: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "MOST_HELD", 2)
    for n in range(7):
        row(name=f"n{n}", args='["bob"]', kwargs='{"password":"ann"}')
    sent = queries(lambda: names(staff, "ann bob"))
    looks = [sql for sql in sent if "edge" in sql]
    assert len(looks) == 3
    for sql in looks:
        assert "LIMIT 3" in sql
        assert str(matching.LONGEST_LOOKED_AT) in sql
        for column in ("args", "kwargs"):
            assert f'SELECT "cq_tasks"."{column}"' not in sql
    assert names(staff, "bob") == [f"n{n}" for n in range(6, -1, -1)]


def test_a_task_is_chosen_by_a_form_with_the_same_search(
    row: Callable[..., Task], charged: Task
) -> None:
    from cq_admin.task_pages.choosing import search

    found = search(Task.objects.all(), "order_id:4711", True)
    assert [task.name for task in found] == FOUND
    assert not search(Task.objects.all(), "order_id:4711", False)
    assert not search(Task.objects.all(), "vip", False)
    assert not search(Task.objects.all(), "hunter2", True)
    assert search(Task.objects.all(), " ", True).count() == 2
