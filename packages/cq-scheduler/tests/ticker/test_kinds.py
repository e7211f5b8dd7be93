"""Ticks of what is no plain cron line: intervals, single moments, limits, jitter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ticking import HOUR, MINUTE, NOON, schedule

from cq.models import Task
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker.tick import tick
from cq_scheduler.timing import when

pytestmark = pytest.mark.django_db


def slots_of(row: RepeatingTask) -> list[Any]:
    return list(row.slots.order_by("slot").values_list("slot", flat=True))


def test_an_interval_does_not_drift_however_late_the_ticks_are() -> None:
    row = schedule(
        crontab="", interval=timedelta(minutes=90), anchor=NOON, coalesce=False
    )
    for late in (0, 31, 7, 59):
        row.refresh_from_db()
        tick("default", row.next_run + timedelta(seconds=late))
    assert slots_of(row) == [NOON + i * 90 * MINUTE for i in range(4)]


@pytest.mark.parametrize(("policy", "hours"), [("latest", 1), ("skip", 0), ("all", 7)])
def test_row_50_an_interval_that_nobody_was_there_for(policy: str, hours: int) -> None:
    row = schedule(
        crontab="", interval=HOUR, anchor=NOON, misfire=policy, coalesce=False
    )
    assert tick("default", NOON + 6 * HOUR + 30 * MINUTE) == hours
    row.refresh_from_db()
    assert row.next_run == NOON + 7 * HOUR


def test_an_interval_counts_from_when_it_is_made() -> None:
    row = schedule(crontab="", interval=timedelta(minutes=90), next_run=None)
    assert row.anchor is not None
    assert row.next_run == row.anchor + timedelta(minutes=90)


def test_one_that_begins_later_comes_first_at_its_start() -> None:
    start = NOON.replace(year=2050)
    row = schedule(crontab="", interval=HOUR, start_after=start, next_run=None)
    assert row.next_run == row.anchor == start


@pytest.mark.parametrize(("policy", "made"), [("latest", 1), ("skip", 0), ("all", 1)])
@pytest.mark.parametrize("late", [timedelta(), 6 * HOUR])
def test_a_moment_comes_once_and_the_schedule_is_over(
    policy: str, made: int, late: timedelta
) -> None:
    row = schedule(crontab="", at=NOON, misfire=policy)
    assert tick("default", NOON - MINUTE) == 0
    assert tick("default", NOON + late) == (1 if not late else made)
    row.refresh_from_db()
    assert (row.enabled, row.next_run, row.last_error) == (False, None, "")
    assert tick("default", NOON + 12 * HOUR) == 0


def test_after_its_end_it_is_over() -> None:
    row = schedule(end_after=NOON + HOUR, coalesce=False)
    for hours in range(4):
        tick("default", NOON + hours * HOUR)
    assert slots_of(row) == [NOON, NOON + HOUR]
    row.refresh_from_db()
    assert (row.enabled, row.next_run) == (False, None)


def test_an_end_that_was_set_behind_the_rows_back_is_kept() -> None:
    row = schedule()
    RepeatingTask.objects.update(end_after=NOON - HOUR)
    assert tick("default", NOON) == 0
    row.refresh_from_db()
    assert (row.enabled, row.next_run) == (False, None)


def test_it_comes_later_by_its_jitter_and_its_slots_are_the_lines() -> None:
    row = schedule(jitter=600, next_run=None, coalesce=False)
    delay = when.delay(row)
    assert row.next_run is not None
    first = row.next_run - delay
    assert (first.minute, first.second, first.microsecond) == (0, 0, 0)
    assert tick("default", row.next_run - timedelta(milliseconds=1)) == 0
    assert tick("default", row.next_run) == 1
    row.refresh_from_db()
    assert (row.last_run, row.next_run) == (first, first + HOUR + delay)
    RepeatingTask.objects.update(next_run=first + delay)
    assert tick("default", first + delay) == 0  # that slot has been made
    assert Slot.objects.count() == 1


def test_a_thousand_that_come_at_once_are_spread_by_their_jitter() -> None:
    rows = [schedule(jitter=60, next_run=None) for _ in range(40)]
    assert len({row.next_run for row in rows}) > 30


@pytest.mark.parametrize("jitter", [0, 3600])
def test_row_50_jitter_changes_no_count_of_what_was_missed(jitter: int) -> None:
    row = schedule(jitter=jitter, misfire="all", coalesce=False, next_run=None)
    assert row.next_run is not None
    assert tick("default", row.next_run + 6 * HOUR) == 7
    assert Task.objects.count() == 7
