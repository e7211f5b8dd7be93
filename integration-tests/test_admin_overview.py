"""The overview with schedules, and how the database finds what its pages ask for."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import counted
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from forced import forced, forced_many
from plans import analyze, plan, reads_all

from cq.ids import uuid7
from cq.models import Figure
from cq.status import Status
from cq_scheduler.models import RepeatingTask, Slot

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

OVERVIEW, QUEUES = "/admin/cq/overview/", "/admin/cq/queue/"


@pytest.fixture
def staff(client: Client) -> Client:
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def _well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is alive, and has counted the queues."""
    counted.by_heartbeat(monkeypatch)
    counted.at_one_moment(monkeypatch)
    counted.alive()
    counted.depth(0)


def schedule(last: str = "", late: float = -60, **columns: Any) -> Any:
    """A schedule whose next run is so many seconds late; last: how the last one ended."""
    now = counted.now()
    columns.setdefault("name", "sample_tasks.square")
    made = RepeatingTask.objects.create(
        crontab="0 0 * * *", next_run=now - timedelta(seconds=late), **columns
    )
    if last:
        ran = forced(Status(last))
        Slot.objects.create(schedule=made, slot=now, task=ran, made=now)
        RepeatingTask.objects.filter(pk=made.pk).update(last_run=now)
    return made


def notices(client: Client) -> list[Any]:
    return list(client.get(OVERVIEW).context["cq_notices"])


def said(client: Client) -> list[str]:
    return [re.sub("<[^>]*>", "", str(notice.text)) for notice in notices(client)]


def test_schedules_that_are_well_say_nothing(staff: Client) -> None:
    schedule("COMPLETE")
    schedule("PENDING")
    schedule("REVOKED")
    schedule(late=59)
    schedule("FAILURE", enabled=False)
    assert said(staff) == []


def test_one_that_is_overdue_or_whose_last_run_failed_is_named(staff: Client) -> None:
    late = schedule(late=61, name="late <b>")
    failed = schedule("FAILURE", name="failed")
    schedule("LOST", name="lost")
    texts = said(staff)
    assert len(texts) == 3
    assert "The schedule of late &lt;b&gt; is overdue" in texts[0]
    assert {text.split()[7] for text in texts[1:]} == {"failed", "lost"}
    urls = [url for notice in notices(staff) for url, _label in notice.links]
    for made in (late, failed):
        assert f"/admin/cq_scheduler/repeatingtask/{made.pk}/change/" in urls


def test_a_failure_before_the_last_run_is_over(staff: Client) -> None:
    made = schedule("FAILURE")
    now = counted.now() + timedelta(seconds=1)
    Slot.objects.create(schedule=made, slot=now, task=forced(Status.COMPLETE), made=now)
    RepeatingTask.objects.filter(pk=made.pk).update(last_run=now)
    assert said(staff) == []


def test_who_may_not_see_schedules_has_no_link_to_them(client: Client) -> None:
    schedule("FAILURE")
    user = get_user_model().objects.create_user("kim", password="", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_overview"))
    client.force_login(user)
    assert [notice.links for notice in notices(client)] == [[]]


@pytest.fixture
def _many(db: None) -> None:
    """Thousands of everything, most of them long done."""
    forced_many(6_000, Status.COMPLETE)
    forced_many(300, Status.FAILURE)
    forced_many(300, Status.PENDING)
    for n in range(30):
        forced_many(5, Status.QUEUED, queue=f"q{n}", priority=n % 3)
    forced_many(20, Status.RUNNING, started=counted.now() - timedelta(hours=1))
    for n in range(20):
        schedule("FAILURE" if n % 2 else "COMPLETE", late=n * 10)
    often = RepeatingTask.objects.earliest("pk")
    Slot.objects.bulk_create(
        [
            Slot(schedule=often, slot=when, task_id=uuid7(), made=when)
            for n in range(6_000)
            for when in [counted.now() - timedelta(minutes=n + 1)]
        ],
        500,
    )
    present = counted.figure(1).slot
    Figure.objects.bulk_create(
        [
            Figure(step=1, slot=present - 1 - ago, name=f"n{n}", queue="q1", complete=1)
            for ago in range(150)
            for n in range(5)
        ]
    )
    Figure.objects.bulk_create(
        [
            Figure(step=60, slot=(present // 60 - ago) * 60, name=f"n{n}", queue="q1")
            for ago in range(4, 2_000)
            for n in range(5)
        ]
    )
    analyze("cq_tasks", "cq_figures", "cq_depths", "cq_slots", "cq_repeating_tasks")


@pytest.mark.usefixtures("_many")
def test_no_statement_of_a_page_reads_all_tasks_or_figures(staff: Client) -> None:
    for url in (OVERVIEW, f"{OVERVIEW}?compare=week", QUEUES):
        reads_by_indexes(staff, url)


def reads_by_indexes(staff: Client, url: str) -> None:
    statements: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert staff.get(url).status_code == 200
    asked = [
        (sql, params)
        for sql, params in statements
        if re.search(r"cq_(tasks|figures|slots|logs)\b", sql)
    ]
    assert len(asked) >= 3
    for sql, params in asked:
        found = plan(sql, params)
        assert not reads_all(found) or "cq_repeating_tasks" in sql, (sql, found)
        assert "Seq Scan on cq_tasks" not in found
        assert "Seq Scan on cq_slots" not in found
