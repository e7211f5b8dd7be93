"""The list of workers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from cq.models import Worker
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/worker/"


def worker(number: int, silent: float = 0, **columns: Any) -> Worker:
    now = timezone.now()
    columns.setdefault("queues", None)
    return Worker.objects.create(
        id=number,
        kind="cqworker",
        host=f"web-{number}",
        pid=100 + number,
        slots=4,
        started=now - timedelta(hours=2),
        last_seen=now - timedelta(seconds=silent),
        **columns,
    )


def test_each_shows_where_it_is_and_what_it_does(
    staff: Client, row: Callable[..., Any]
) -> None:
    one = worker(1, queues=["mail", "slow"])
    row(Status.RUNNING, worker=one, started=timezone.now())
    row(Status.RUNNING, worker=one, started=timezone.now())
    text = staff.get(URL).content.decode()
    for part in ("web-1", "101", "mail, slow", ">alive<"):
        assert part in text
    assert f'<a href="/admin/cq/task/?worker={one.pk}">2</a>' in text


def test_one_that_is_silent_beyond_its_lease_says_so(staff: Client) -> None:
    worker(1, silent=60)
    text = staff.get(URL).content.decode()
    assert ">silent<" in text
    assert "1\xa0min ago" in text
    assert "all" in text


def test_twenty_cost_the_queries_of_one(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    worker(1)
    one = queries(lambda: staff.get(URL))
    for number in range(2, 21):
        worker(number)
    assert len(queries(lambda: staff.get(URL))) == len(one)


def test_they_are_only_to_be_looked_at(
    staff: Client, login: Callable[..., Client]
) -> None:
    pk = worker(1).pk
    assert staff.get(f"{URL}add/").status_code == 403
    assert staff.get(f"{URL}{pk}/change/").status_code == 200
    assert staff.post(f"{URL}{pk}/change/", {"host": "x"}).status_code == 403
    assert staff.post(f"{URL}{pk}/delete/", {"post": "yes"}).status_code == 403
    assert login("view_task").get(URL).status_code == 403
