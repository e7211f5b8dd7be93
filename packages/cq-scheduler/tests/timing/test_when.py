"""When a schedule comes, beside the cron line: intervals, single moments, limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import repeating_samples as samples

from cq_scheduler import CronError, at, every
from cq_scheduler.models import RepeatingTask
from cq_scheduler.timing import when

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(**values: Any) -> RepeatingTask:
    return RepeatingTask(name=samples.report.name, **{"timezone": "UTC", **values})


# --- intervals ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "slot"),
    [
        (NOON - 5 * HOUR, NOON),  # its anchor, which is to come
        (NOON - timedelta(microseconds=1), NOON),
        (NOON, NOON + timedelta(minutes=90)),
        (NOON + timedelta(minutes=89, seconds=59), NOON + timedelta(minutes=90)),
        (NOON + timedelta(minutes=90), NOON + timedelta(minutes=180)),
        (NOON + timedelta(days=3650), NOON + timedelta(days=3650, minutes=90)),
    ],
)
def test_an_interval_is_counted_from_its_anchor(
    after: datetime, slot: datetime
) -> None:
    found = row(interval=timedelta(minutes=90), anchor=NOON).next_slot(after)
    assert found == slot
    assert found.utcoffset() == timedelta()


def test_an_interval_is_elapsed_time_across_daylight_saving() -> None:
    anchor = datetime(2027, 3, 27, 12, tzinfo=timezone(HOUR))
    daily = row(interval=timedelta(days=1), anchor=anchor, timezone="Europe/Paris")
    assert daily.next_slot(anchor) == anchor + timedelta(hours=24)


@pytest.mark.parametrize("interval", [timedelta(), timedelta(milliseconds=1500)])
def test_an_interval_is_whole_seconds(interval: timedelta) -> None:
    with pytest.raises(CronError, match="whole seconds"):
        when.Every(interval)


def test_an_interval_that_leaves_the_calendar_has_no_slot() -> None:
    with pytest.raises(CronError, match="calendar"):
        row(interval=timedelta(days=3_000_000), anchor=NOON).next_slot(NOON)


def test_naive_moments_are_refused() -> None:
    naive = datetime(2026, 1, 5)
    with pytest.raises(ValueError, match="naive"):
        every(hours=1, anchor=naive)
    with pytest.raises(ValueError, match="naive"):
        at(naive)


# --- once -----------------------------------------------------------------------------


def test_a_moment_comes_once() -> None:
    once = row(at=NOON)
    assert once.next_slot(NOON - HOUR) == NOON
    assert once.next_slot(NOON) is None


def test_a_moment_that_has_just_been_when_the_row_is_made_is_not_missed() -> None:
    assert when.first_slot(row(at=NOON), NOON + timedelta(seconds=59)) == NOON
    assert when.first_slot(row(at=NOON), NOON + timedelta(seconds=60)) is None


# --- start and end --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "after", "slot"),
    [
        ({"start_after": NOON}, NOON - 24 * HOUR, NOON),
        ({"start_after": NOON}, NOON, NOON + HOUR),
        ({"start_after": NOON + timedelta(seconds=1)}, NOON - HOUR, NOON + HOUR),
        ({"end_after": NOON}, NOON - HOUR, NOON),
        ({"end_after": NOON}, NOON, None),
    ],
)
def test_no_slot_lies_before_the_start_or_after_the_end(
    limits: dict[str, datetime], after: datetime, slot: datetime | None
) -> None:
    assert row(crontab="0 * * * *", **limits).next_slot(after) == slot


# --- jitter ---------------------------------------------------------------------------


def test_the_jitter_is_always_the_same_for_a_row_and_spreads_many() -> None:
    delays = [when.delay(row(pk=pk, jitter=60)) for pk in range(1, 1001)]
    assert delays == [when.delay(row(pk=pk, jitter=60)) for pk in range(1, 1001)]
    assert all(timedelta() <= delay < timedelta(seconds=60) for delay in delays)
    a_second = [sum(d // timedelta(seconds=1) == s for d in delays) for s in range(60)]
    assert max(a_second) < 40
    assert when.delay(row(pk=1)) == timedelta()


# --- rows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"crontab": "@daily"}, "@daily"),
        ({"interval": timedelta(minutes=90), "anchor": NOON}, "every 1 h 30 min"),
        # Exactly, unlike how long something took.
        ({"interval": timedelta(days=1, seconds=3601)}, "every 1 d 1 h 1 s"),
        ({"at": NOON}, "at 2026-01-05 12:00:00+00:00"),
    ],
)
def test_a_row_says_when(values: dict[str, Any], words: str) -> None:
    assert str(row(**values)) == f"{samples.report.name} ({words})"
