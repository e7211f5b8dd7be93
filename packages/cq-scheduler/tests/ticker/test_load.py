"""What a tick costs, and that a backlog makes nobody late who wasn't."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.db import connection
from django.test.utils import CaptureQueriesContext
from ticking import HOUR, MINUTE, NOON, schedule

from cq.models import Task
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker import tick as module
from cq_scheduler.ticker.loop import seconds_until_due
from cq_scheduler.ticker.tick import tick

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db

INDEXES = ("cq_schedule_due", "cq_schedule_pause_over", "pkey", "PRIMARY")


def many(count: int, next_run: datetime, **values: Any) -> None:
    values = {
        "name": samples.report.name,
        "crontab": "0 * * * *",
        "timezone": "UTC",
        "next_run": next_run,
        **values,
    }
    RepeatingTask.objects.bulk_create([RepeatingTask(**values) for _ in range(count)])


def statements(now: datetime) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        tick("default", now)
    return [query["sql"] for query in captured]


def analyze() -> None:
    table = "TABLE cq_repeating_tasks" if mysql() else "cq_repeating_tasks"
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
        if mysql():
            cursor.fetchall()


def plan_of(sql: str) -> str:
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {sql}")
        return "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())


def mysql() -> bool:
    return connection.vendor == "mysql"


def test_ten_thousand_that_are_due_make_no_other_late() -> None:
    many(10_000, NOON - 6 * HOUR)
    fresh = [schedule(crontab="1 * * * *", next_run=NOON + MINUTE) for _ in range(20)]
    assert tick("default", NOON + MINUTE) == module.MAX_SCHEDULES
    for row in fresh:
        row.refresh_from_db()
        assert row.last_run == NOON + MINUTE


def test_a_backlog_is_worked_off_while_others_come() -> None:
    many(120, NOON - 6 * HOUR)
    for minute in range(4):
        # More than a pass has places for, each time.
        many(110, NOON + minute * MINUTE)
        tick("default", NOON + minute * MINUTE)
    assert not RepeatingTask.objects.filter(next_run__lt=NOON).exists()


def test_a_pass_is_bounded_in_tasks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TASKS", 100)
    many(30, NOON - 10 * HOUR, misfire="all", coalesce=False)
    made = [tick("default", NOON - MINUTE) for _ in range(4)]
    assert made == [100, 100, 100, 0]


def test_the_statements_of_a_tick_do_not_grow_with_what_is_due() -> None:
    many(10, NOON)
    few = len(statements(NOON))
    RepeatingTask.objects.all().delete()
    many(module.MAX_SCHEDULES - 1, NOON)
    assert len(statements(NOON)) == few < 25
    assert Task.objects.count() == module.MAX_SCHEDULES + 9


@pytest.mark.django_db(transaction=True)  # ANALYZE commits, on MySQL
def test_a_tick_reads_no_schedule_that_is_not_due() -> None:
    """However many there are: their rows are found by an index, in its order."""
    many(2000, NOON + 24 * HOUR)
    many(5, NOON)
    analyze()
    reads = [
        sql
        for sql in statements(NOON)
        if sql.startswith("SELECT") and "next_run" in sql and "WHERE" in sql
    ]
    with CaptureQueriesContext(connection) as captured:
        seconds_until_due("default")
    reads += [query["sql"] for query in captured if "next_run" in query["sql"]]
    assert len(reads) >= 3
    for sql in reads:
        plan = plan_of(sql)
        assert any(index in plan for index in INDEXES), plan
        assert "SCAN cq_repeating_tasks\n" not in plan, plan
        assert "Seq Scan" not in plan, plan


def test_one_that_is_refused_holds_up_no_other_of_its_pass(
    caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.CQ_SIZE_LIMIT = 1024
    good = [schedule() for _ in range(3)]
    big = schedule()
    settings.CQ_SIZE_LIMIT = 1024 * 1024
    RepeatingTask.objects.filter(pk=big.pk).update(args=["x" * 5000], kwargs={})
    settings.CQ_SIZE_LIMIT = 1024
    assert tick("default", NOON) == 3
    for row in good:
        row.refresh_from_db()
        assert (row.last_run, row.last_error) == (NOON, "")
    big.refresh_from_db()
    assert (big.last_run, big.next_run) == (None, NOON + HOUR)
    assert "1024" in big.last_error


def test_row_52_the_made_up_runs_of_one_that_coalesces_are_one() -> None:
    rows = [schedule(misfire="all", args=[i]) for i in range(12)]
    assert tick("default", NOON + 6 * HOUR) == 12
    for row in rows:
        assert Slot.objects.get(schedule=row).slot == NOON
    assert tick("default", NOON + 7 * HOUR + timedelta(seconds=1)) == 0
