"""Which tasks an export has: those of the list."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.utils import timezone
from exported import URL, lines, names

from cq.models import Tag, Task
from cq.status import Status
from cq_admin.task_list import sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"status": "FAILURE"},
        {"status": "FAILURE,LOST"},
        {"status": "RUNNING"},
        {"status": "QUEUED"},
        {"status": "QUEUED", "queue": "mail"},
        {"status": "COMPLETE,RUNNING"},
        {"name": "n1,n2,n3,n4,n5", "status": "LOST"},
        {"queue": "mail"},
        {"level": "top"},
        {"since": "1h"},
        {"until": "1h"},
        {"q": "n1"},
        {"q": "status:lost queue:mail"},
        {"q": "error:gateway"},
        {"q": "order_id:7"},
        {"q": "bob"},
        {"tag": "eu"},
        {"q": "tag:eu"},
        {"worker": "1"},
        {"attempts__gte": "2"},
        {"name__startswith": "n1"},
        {"status": "RUNNING", "q": "n1", "o": "", "p": "0"},
    ],
)
def test_they_are_those_of_the_list(
    staff: Client, row: Callable[..., Task], query: dict[str, str]
) -> None:
    statuses = [
        Status.FAILURE,
        Status.LOST,
        Status.RUNNING,
        Status.QUEUED,
        Status.COMPLETE,
    ]
    began = timezone.now()
    for n in range(20):
        status = statuses[n % 5]
        runs = {"worker_id": n % 2, "started": began - timedelta(minutes=n % 7)}
        made = row(
            status,
            name=f"n{n}",
            queue="mail" if n % 3 else "default",
            priority=n % 2,
            attempts=n % 4,
            kwargs=json.dumps({"order_id": n, "who": "bob" if n % 6 else "ann"}),
            error="Gateway timeout" if n % 4 else None,
            **(runs if status == Status.RUNNING else {}),
        )
        if n % 2:
            Tag.objects.create(task=made, tag="eu")
    shown = staff.get(URL, query).context["cl"].result_list
    listed = sorted((row.pk for row in shown), reverse=True)

    found = [line["id"] for line in lines(staff, urlencode(query))]

    assert found == [str(pk) for pk in listed]
    assert listed or query == {"until": "1h"}


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("query", ["status=QUEUED", "status=QUEUED&queue=mail"])
def test_what_waits_is_in_it_by_its_age_and_not_as_it_will_be_claimed(
    staff: Client, row: Callable[..., Task], query: str
) -> None:
    for n in range(7):
        row(Status.QUEUED, name=f"n{n}", queue="mail", priority=n // 4)
    assert names(staff, query) == ["n6", "n5", "n4", "n3", "n2", "n1", "n0"]


def test_every_page_of_the_list_leads_to_all_of_it(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(admin.site._registry[Task]), "list_per_page", 2)
    for n in range(5):
        row(name=f"n{n}", queue="a b&c")
    query = urlencode({"queue": "a b&c"})
    page = staff.get(f"{URL}?{query}").context["cl"].older
    text = staff.get(f"{URL}{page}").content.decode()
    for kind, label in (("csv", "CSV"), ("ndjson", "NDJSON")):
        address = f"{URL}export/{kind}/?{query}"
        assert f'<a href="{address}">{label}</a>' in text
    assert names(staff, query) == ["n4", "n3", "n2", "n1", "n0"]


def test_an_empty_list_has_nothing_to_export(staff: Client) -> None:
    assert "/export/" not in staff.get(URL).content.decode()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=LOUD", "does not understand"),
        ("q=status:loud", "loud is no status."),
        ("after=0193f0c2-0000-7000-8000-000000000000", 'begins at "before="'),
        ("before=x", 'begins at "before="'),
        ("before=x%00%E2%80%AE", 'begins at "before="'),
        ("since=nonsense", "does not understand"),
        ("tag=a%00b", "does not understand"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_what_is_not_understood_is_said_and_nothing_is_sent(
    staff: Client, row: Callable[..., Task], query: str, said: str, kind: str
) -> None:
    row()
    answer = staff.get(f"{URL}export/{kind}/?{query}")
    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("text/plain")
    assert said in answer.content.decode()
    assert "\u202e" not in answer.content.decode()


def test_a_comparison_that_the_list_refuses_is_refused(
    staff: Client, row: Callable[..., Task]
) -> None:
    row()
    assert staff.get(f"{URL}export/csv/?kwargs__contains=a").status_code == 400
    assert staff.get(f"{URL}export/xml/").status_code == 404


def test_more_queues_than_are_gone_through_are_refused(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_PAIRS", 2)
    for n in range(3):
        row(Status.QUEUED, name=f"n{n}", queue=f"q{n}")
    answer = staff.get(f"{URL}export/csv/?status=QUEUED")
    assert answer.status_code == 400
    assert "There are more queues" in answer.content.decode()
    assert names(staff, "status=QUEUED&queue=q1") == ["n1"]
