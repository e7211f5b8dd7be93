"""Rules of time zones that change while schedules wait."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from ticking import HOUR
from zone_files import zones_at

from cq.db.clock import database_now
from cq_scheduler.actions.retime import retime
from cq_scheduler.models import RepeatingTask
from cq_scheduler.timing import when

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from zone_files import Zones

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def zones(tmp_path: Path) -> Iterator[Zones]:
    with zones_at(tmp_path / "zones") as found:
        found.set("Africa/Casablanca", 0)
        found.set("UTC", 0)
        yield found


def made(**values: Any) -> RepeatingTask:
    """A schedule that comes in half a day, by the clock of a zone."""
    hour = (database_now("default") + timedelta(hours=12)).hour
    return RepeatingTask.objects.create(
        **{
            "name": samples.report.name,
            "crontab": f"30 {hour} * * *",
            "timezone": "Africa/Casablanca",
            **values,
        }
    )


@pytest.mark.parametrize("jitter", [0, 3600])
def test_it_waits_for_its_slot_by_the_rules_of_today(
    zones: Zones, jitter: int, caplog: pytest.LogCaptureFixture
) -> None:
    row, other = made(jitter=jitter), made(timezone="UTC", jitter=jitter)
    before = row.next_run
    assert before is not None
    assert retime("default") == []
    zones.set("Africa/Casablanca", 1)
    assert retime("default") == [row.pk]
    row.refresh_from_db()
    assert row.next_run == before - HOUR
    assert f"waited for {before}, and by the rules of today" in caplog.text
    assert retime("default") == []
    other.refresh_from_db()
    assert other.next_run is not None


@pytest.mark.parametrize(
    "values",
    [
        {"crontab": "", "interval": HOUR},
        {"timezone": "UTC"},
        {"enabled": False},
    ],
)
def test_what_no_rule_moves_is_left_alone(zones: Zones, values: dict[str, Any]) -> None:
    row = made(**values)
    zones.set("Africa/Casablanca", 1)
    assert retime("default") == []
    before = row.next_run
    row.refresh_from_db()
    assert row.next_run == before


def test_what_is_due_or_cannot_be_worked_out_is_left_to_the_tick(zones: Zones) -> None:
    due, lost = made(), made()
    then = database_now("default") - HOUR
    RepeatingTask.objects.filter(pk=due.pk).update(next_run=then)
    RepeatingTask.objects.filter(pk=lost.pk).update(timezone="Europe/Gone")
    zones.set("Africa/Casablanca", 1)
    assert retime("default") == []
    due.refresh_from_db()
    assert due.next_run == then


@pytest.mark.parametrize("ran", [True, False])
def test_a_slot_that_waits_for_its_jitter_is_not_lost_and_none_comes_twice(
    zones: Zones, ran: bool
) -> None:
    ids = (RepeatingTask(pk=number, jitter=86_400) for number in range(1000, 2000))
    pk = next(row.pk for row in ids if when.delay(row) > 2 * HOUR)
    row = made(pk=pk, crontab="15 * * * *", jitter=86_400)
    delay = when.delay(row)
    now = database_now("default")
    # By the old rules, half an hour off.
    slot = when.next_slot(row, now - delay + HOUR)
    assert slot is not None
    last = slot - HOUR if ran else None
    wrong = slot + timedelta(minutes=30)
    RepeatingTask.objects.update(next_run=wrong + delay, last_run=last)
    assert retime("default") == [row.pk]
    row.refresh_from_db()
    assert row.next_run is not None
    found = row.next_run - delay
    assert found == (slot if ran else when.next_slot(row, now))


def test_it_is_done_after_migrate_and_by_sync(zones: Zones) -> None:
    row = made()
    before = row.next_run
    assert before is not None
    zones.set("Africa/Casablanca", 1)
    call_command("migrate", "cq_scheduler", verbosity=0)
    row.refresh_from_db()
    assert row.next_run == before - HOUR
    zones.set("Africa/Casablanca", 2)
    call_command("cqscheduler", "sync")
    row.refresh_from_db()
    assert row.next_run == before - 2 * HOUR


def test_a_thousand_that_are_right_cost_one_statement(zones: Zones) -> None:
    row = made()
    row.pk = None
    RepeatingTask.objects.bulk_create([made_of(row) for _ in range(50)])
    with CaptureQueriesContext(connection) as captured:
        retime("default")
    assert len([q for q in captured if "cq_repeating_tasks" in q["sql"]]) == 1


def made_of(row: RepeatingTask) -> RepeatingTask:
    columns = ("name", "crontab", "timezone", "next_run")
    return RepeatingTask(**{name: getattr(row, name) for name in columns})
