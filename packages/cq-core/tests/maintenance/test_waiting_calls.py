"""The walk through all calls that wait, where some of them have lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from forced import BEFORE, forced, forced_many
from laned import in_lane
from plans import analyze, plan, reads_all, rows_read, sorts

from cq.maintenance import waiting_calls
from cq.status import Status

if TYPE_CHECKING:
    from cq.models import Task

pytestmark = pytest.mark.django_db

DB = "default"


def walked() -> list[list[str]]:
    return [[call.id for call in page] for page in waiting_calls.pages(DB)]


def ids(tasks: list[Task]) -> list[str]:
    return sorted(str(task.pk) for task in tasks)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 100])
def test_each_call_is_come_by_once(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(waiting_calls, "CALLS_PER_PAGE", size)
    made = in_lane(7, 1) + in_lane(1, 2) + in_lane(4, 3, listed=False) + in_lane(1, 4)
    made += in_lane(2, 1, queue="b") + in_lane(3, 1, priority=7)
    made += forced_many(5, Status.QUEUED) + forced_many(2, Status.QUEUED, queue="c")
    made += [forced(Status.SUSPENDED), forced(Status.SUSPENDED, run_after=BEFORE)]
    forced(Status.COMPLETE)
    found = [pk for page in walked() for pk in page]
    assert sorted(found) == ids(made)


def test_small_lanes_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_calls, "CALLS_PER_PAGE", 100)
    for number in range(1, 31):
        in_lane(3, number)
    with CaptureQueriesContext(connection) as sent:
        assert [len(page) for page in walked()] == [90]
    assert len([query for query in sent if query["sql"].endswith("LIMIT 100")]) <= 7


@pytest.mark.backend("postgres")
def test_a_long_lane_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        # What other tests took back is in the indexes still.
        cursor.execute("TRUNCATE cq_tasks, cq_lanes CASCADE")
    forced_many(3_000, Status.COMPLETE)
    in_lane(3_000, 1)
    forced_many(3_000, Status.QUEUED)
    analyze("cq_tasks")
    monkeypatch.setattr(waiting_calls, "CALLS_PER_PAGE", 100)
    before = rows_read()
    assert len([pk for page in walked() for pk in page]) == 6_000
    # Near its end what is left is cheap to read by the ids as well.
    assert rows_read() - before < 12_000


@pytest.mark.backend("sqlite", "mariadb")
def test_each_page_takes_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    forced_many(2_000, Status.COMPLETE)
    in_lane(50, 1)
    in_lane(50, 2)
    forced_many(50, Status.QUEUED)
    analyze("cq_tasks")
    monkeypatch.setattr(waiting_calls, "CALLS_PER_PAGE", 20)
    with CaptureQueriesContext(connection) as sent:
        assert len([pk for page in walked() for pk in page]) == 150
    pages = [query["sql"] for query in sent if query["sql"].endswith("LIMIT 20")]
    assert len(pages) >= 9
    for sql in pages:
        found = plan(sql.replace("%", "%%"))
        assert not reads_all(found), found
        if "lane" in sql.partition("WHERE")[2]:
            assert "cq_ready" in found, found
            if connection.vendor == "mysql":
                assert not sorts(sql.replace("%", "%%")), sql
