"""The list of repeating tasks: their last runs, in which order, which of them, at what cost."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cq import task
from cq.conf import conf
from cq.ids import uuid7
from cq.models import Task
from cq.status import OPEN, Status
from cq_scheduler import last_runs, pause
from cq_scheduler.models import RepeatingTask, Slot

if TYPE_CHECKING:
    from uuid import UUID

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq_scheduler/repeatingtask/"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@task("schedule_list.clean")
def clean(cqt: Any) -> None: ...


@pytest.fixture
def staff(client: Client) -> Client:
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


def made(**columns: Any) -> RepeatingTask:
    columns = {"name": "schedule_list.clean", "crontab": "30 2 * * *", **columns}
    return RepeatingTask.objects.create(**columns)


def ran(row: RepeatingTask, hours: float, status: str | None) -> UUID:
    """A run of so many hours after noon; None: its task is not kept any more."""
    pk, slot = uuid7(), NOON + timedelta(hours=hours)
    if status is not None:
        ends = {} if status in OPEN else {"finished": slot}
        Task.objects.create(
            pk=pk, root_id=pk, name=row.name, status=status, submitted=slot, **ends
        )
    Slot.objects.create(schedule=row, slot=slot, task_id=pk, made=slot)
    RepeatingTask.objects.filter(pk=row.pk).update(last_run=slot)
    return pk


def names(client: Client, **query: str) -> list[str]:
    rows = client.get(URL, query).context["cl"].result_list
    return [row.crontab for row in rows]


def ticks(client: Client) -> list[tuple[str, str]]:
    text = client.get(URL).content.decode()
    found = re.findall(r'<i class="cq-tick-(\w*)" title="([^"]*)"></i>', text)
    return [(tone, unescape(title)) for tone, title in found]


# The strip ----------------------------------------------------------------------------


def test_the_last_twenty_runs_are_ticks_with_words(staff: Client) -> None:
    row = made(timezone="Europe/Paris")
    for n in range(22):
        ran(row, n, Status.COMPLETE)
    ran(row, 22, Status.FAILURE)
    ran(row, 23, None)
    found = ticks(staff)
    assert len(found) == 20
    assert found[0] == ("good", "2026-01-02 17:00: complete")
    # By the clock of the schedule, an hour before UTC.
    assert found[-2] == ("bad", f"2026-01-03 11:00: {Status.FAILURE.label}")
    assert found[-1] == ("quiet", "2026-01-03 12:00: not kept any more")
    text = staff.get(URL).content.decode()
    said = re.search(r'class="cq-strip" role="img" aria-label="([^"]*)"', text)
    assert said is not None
    assert said[1] == f"complete: 18, {Status.FAILURE.label}: 1, not kept any more: 1"


def test_each_schedule_has_its_own(staff: Client) -> None:
    one, other, third = made(), made(), made()
    a, b, c = ran(one, 1, "QUEUED"), ran(other, 2, "LOST"), ran(one, 3, "WAITING")
    found = last_runs(conf.DATABASE, [one.pk, other.pk, third.pk], 20)
    assert {pk: [(run.task, run.status) for run in runs] for pk, runs in found.items()}
    assert [run.task for run in found[one.pk]] == [a, c]
    assert [run.status for run in found[one.pk]] == ["QUEUED", "WAITING"]
    assert [run.task for run in found[other.pk]] == [b]
    assert third.pk not in found
    assert [run.task for run in last_runs(conf.DATABASE, [one.pk], 1)[one.pk]] == [c]
    assert last_runs(conf.DATABASE, [], 20) == {}


def test_a_task_that_is_not_shown_to_them_is_no_tick(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cq_admin.task_pages.admin import TaskAdmin

    row = made()
    hidden = ran(row, 1, Status.FAILURE)
    ran(row, 2, Status.COMPLETE)
    whole = TaskAdmin.get_queryset
    monkeypatch.setattr(
        TaskAdmin,
        "get_queryset",
        lambda self, request: whole(self, request).exclude(pk=hidden),
    )
    assert [tone for tone, _ in ticks(staff)] == ["good"]


def test_a_failure_that_is_not_shown_to_them_is_none(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cq_admin.task_pages.admin import TaskAdmin

    hidden = ran(made(), 1, Status.FAILURE)
    ran(made(crontab="5 2 * * *"), 1, Status.FAILURE)
    whole = TaskAdmin.get_queryset
    monkeypatch.setattr(
        TaskAdmin,
        "get_queryset",
        lambda self, request: whole(self, request).exclude(pk=hidden),
    )
    assert names(staff, state="failing") == ["5 2 * * *"]


# Times --------------------------------------------------------------------------------


def test_times_are_those_of_its_own_clock_with_the_readers_in_the_tooltip(
    staff: Client,
) -> None:
    row = made(timezone="Asia/Tokyo")
    RepeatingTask.objects.filter(pk=row.pk).update(last_run=NOON)
    with timezone.override("Europe/Berlin"):
        text = staff.get(URL).content.decode()
    assert (
        'title="2026-01-02 13:00:00 CET (2026-01-02T12:00:00+00:00)">'
        "<span>2026-01-02</span> <span>21:00:00</span>" in text
    )
    page = staff.get(f"{URL}{row.pk}/change/").content.decode()
    assert "<span>21:00:00</span>" in page


@pytest.mark.parametrize("zone", ["Nowhere/Else", "", "../etc", "x" * 100])
def test_a_zone_that_nobody_knows_is_the_readers(staff: Client, zone: str) -> None:
    row = made()
    ran(row, 1, Status.COMPLETE)
    RepeatingTask.objects.filter(pk=row.pk).update(timezone=zone)
    with timezone.override("Europe/Berlin"):
        assert ticks(staff) == [("good", "2026-01-02 14:00: complete")]


def test_the_end_of_time_is_shown(staff: Client) -> None:
    row = made(timezone="Asia/Tokyo")
    last = datetime(9999, 12, 31, 23, tzinfo=UTC)
    RepeatingTask.objects.filter(pk=row.pk).update(next_run=last)
    assert "9999-12-31T23:00:00+00:00" in staff.get(URL).content.decode()


# Order and filters --------------------------------------------------------------------


def test_the_next_to_run_is_first_and_what_never_does_is_last(staff: Client) -> None:
    soon = timezone.now() + timedelta(hours=1)
    for minute, when in ((1, None), (2, soon + timedelta(hours=9)), (3, soon)):
        row = made(crontab=f"{minute} 2 * * *")
        RepeatingTask.objects.filter(pk=row.pk).update(next_run=when)
    assert names(staff) == ["3 2 * * *", "2 2 * * *", "1 2 * * *"]


def test_paused_overdue_and_failing_are_found(staff: Client) -> None:
    lines = {
        kind: made(crontab=f"{minute} 2 * * *")
        for minute, kind in enumerate(
            ("well", "paused", "overdue", "error", "failed", "recovered", "gone")
        )
    }
    pause(lines["paused"], "the disk is full")
    late = timezone.now() - timedelta(minutes=2)
    rows = RepeatingTask.objects
    rows.filter(pk=lines["overdue"].pk).update(next_run=late)
    rows.filter(pk=lines["error"].pk).update(last_error="no such task")
    ran(lines["failed"], 1, Status.COMPLETE)
    ran(lines["failed"], 2, Status.FAILURE)
    ran(lines["recovered"], 1, Status.FAILURE)
    ran(lines["recovered"], 2, Status.COMPLETE)
    ran(lines["gone"], 1, None)

    def found(state: str) -> set[str]:
        shown = set(names(staff, state=state))
        return {kind for kind, row in lines.items() if row.crontab in shown}

    assert found("paused") == {"paused"}
    assert found("overdue") == {"overdue"}
    assert found("failing") == {"error", "failed"}
    assert found("nonsense") == set(lines)
    text = staff.get(URL).content.decode()
    for state in ("paused", "overdue", "failing"):
        assert f"?state={state}" in text


# What it costs ------------------------------------------------------------------------


def many(count: int, each: int) -> list[int]:
    """So many schedules, each with a last run, and every tenth with so many."""
    rows = [
        RepeatingTask(
            name="schedule_list.clean",
            crontab="30 2 * * *",
            enabled=True,
            next_run=NOON + timedelta(seconds=n),
            last_run=NOON,
        )
        for n in range(count)
    ]
    RepeatingTask.objects.bulk_create(rows, batch_size=1_000)
    ids = list(RepeatingTask.objects.values_list("pk", flat=True))
    runs = [(pk, n, uuid7()) for pk in ids[: count // 10] for n in range(each)]
    runs += [(pk, 0, uuid7()) for pk in ids[count // 10 :]]
    Task.objects.bulk_create(
        (
            Task(
                pk=pk,
                root_id=pk,
                name="a",
                status="COMPLETE",
                submitted=NOON,
                finished=NOON,
            )
            for _, _, pk in runs
        ),
        batch_size=1_000,
    )
    Slot.objects.bulk_create(
        (
            Slot(schedule_id=of, slot=NOON + timedelta(hours=n), task_id=pk, made=NOON)
            for of, n, pk in runs
        ),
        batch_size=1_000,
    )
    return ids


def test_a_page_of_twenty_thousand_costs_few_statements_and_reads_no_table(
    staff: Client,
) -> None:
    many(20_000, 5)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE cq_tasks, cq_slots, cq_repeating_tasks")
        elif connection.vendor == "mysql":
            cursor.execute("ANALYZE TABLE cq_tasks, cq_slots, cq_repeating_tasks")
            cursor.fetchall()
        else:
            cursor.execute("ANALYZE")
    for query in ({}, {"state": "failing"}, {"state": "overdue"}, {"all": ""}):
        with CaptureQueriesContext(connections[conf.DATABASE]) as sent:
            assert staff.get(URL, query).status_code == 200
        asked = [
            one["sql"]
            for one in sent
            if one["sql"].startswith(("SELECT", "(SELECT"))
            and "set_config" not in one["sql"]
        ]
        assert len(asked) <= 12
        strips = [sql for sql in asked if "UNION ALL" in sql]
        assert len(strips) <= 1
        for sql in asked:
            if "cq_slots" in sql or "cq_tasks" in sql:
                assert scanned(sql) == [], sql[:300]


def scanned(sql: str) -> list[str]:
    """The lines of a plan by which slots or tasks are read from end to end."""
    with connections[conf.DATABASE].cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            lines = [str(row[-1]) for row in cursor.fetchall()]
            reads = r"SCAN (cq_slots|cq_tasks|t|U\d)\b(?!.*USING.*INDEX)"
        elif connection.vendor == "mysql":
            cursor.execute(f"EXPLAIN {sql}")
            lines = [" ".join(map(str, row)) for row in cursor.fetchall()]
            reads = r"(cq_slots|cq_tasks|\bt) (None )?ALL"
        else:
            cursor.execute(f"EXPLAIN {sql}")
            lines = [str(row[0]) for row in cursor.fetchall()]
            reads = r"Seq Scan on (cq_slots|cq_tasks)"
    return [line for line in lines if re.search(reads, line)]
