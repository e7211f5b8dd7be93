"""Pausing and resuming, runs by hand, and what a schedule has made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import repeating_samples as samples
from django.db import IntegrityError
from django.utils import timezone

from cq.db.clock import database_now
from cq.errors import UnknownTask
from cq.models import Task
from cq_scheduler import cron, pause, resume, run_now
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker.prune import prune
from cq_scheduler.ticker.tick import tick

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def schedule(**values: Any) -> RepeatingTask:
    values = {
        "name": samples.report.name,
        "crontab": "0 * * * *",
        "timezone": "UTC",
        **values,
    }
    return RepeatingTask.objects.create(**values)


def test_a_paused_schedule_makes_nothing_and_says_why() -> None:
    row = schedule(next_run=NOON)
    before = timezone.now()
    assert pause(row, "the mail server moves", by="kim")
    assert tick("default", NOON) == 0
    row.refresh_from_db()
    assert (row.enabled, row.next_run) == (False, None)
    assert (row.pause_reason, row.paused_by) == ("the mail server moves", "kim")
    assert row.paused_at is not None
    assert row.paused_at >= before - timedelta(minutes=1)
    assert not pause(row, "again", by="lee")
    assert row.pause_reason == "the mail server moves"


@pytest.mark.parametrize("by_save", [True, False])
def test_a_resumed_schedule_has_missed_nothing(by_save: bool) -> None:
    row = schedule(next_run=NOON)
    pause(row, "x\x00" * 20_000, by="k" * 1000)
    if by_save:  # as the form of the admin does
        row.enabled = True
        row.save()
    else:
        assert resume(row)
        assert not resume(row)
    row.refresh_from_db()
    assert row.next_run is not None
    assert row.next_run > timezone.now() - timedelta(minutes=1)
    assert (row.paused_at, row.paused_by, row.pause_reason) == (None, "", "")


def test_who_cannot_come_again_is_not_resumed() -> None:
    row = schedule(crontab="", at=NOON)
    assert not row.enabled
    assert "no slot" in row.last_error
    assert not resume(row)
    RepeatingTask.objects.filter(pk=row.pk).update(at=None, crontab="0 0 30 2 *")
    row.refresh_from_db()
    with pytest.raises(cron.CronError):
        resume(row)


def test_an_interval_keeps_its_rhythm_over_a_pause() -> None:
    row = schedule(crontab="", interval=timedelta(hours=7), anchor=NOON)
    pause(row)
    resume(row)
    assert row.next_run is not None
    assert (row.next_run - NOON) % timedelta(hours=7) == timedelta()


def test_a_row_is_not_both_paused_and_enabled() -> None:
    row = schedule()
    with pytest.raises(IntegrityError, match="cq_schedule_paused_is_disabled"):
        RepeatingTask.objects.filter(pk=row.pk).update(paused_at=NOON)


# --- until ----------------------------------------------------------------------------


def test_a_pause_with_an_end_is_over_by_itself() -> None:
    row = schedule(next_run=NOON, coalesce=False)
    until = database_now("default").replace(minute=30) + 48 * HOUR
    assert pause(row, "holidays", "kim", until)
    assert row.paused_until == until
    assert tick("default", until - timedelta(seconds=1)) == 0
    row.refresh_from_db()
    assert not row.enabled
    # Looked at late: what came since the end was not within the pause.
    assert tick("default", until + HOUR) == 1
    row.refresh_from_db()
    first = until.replace(minute=0, second=0, microsecond=0) + HOUR
    assert (row.enabled, row.last_run, row.next_run) == (True, first, first + HOUR)
    assert (row.paused_at, row.paused_by, row.pause_reason) == (None, "", "")
    assert row.paused_until is None


def test_a_slot_at_the_very_end_of_a_pause_counts() -> None:
    row = schedule()
    until = database_now("default").replace(minute=0, second=0, microsecond=0)
    until += 24 * HOUR
    pause(row, until=until)
    assert tick("default", until) == 1
    row.refresh_from_db()
    assert row.last_run == until


def test_a_pause_that_is_ended_by_hand_has_no_end_any_more() -> None:
    row = schedule()
    pause(row, until=database_now("default") + HOUR)
    assert resume(row)
    assert row.paused_until is None
    pause(row, "for good")
    assert row.paused_until is None
    assert tick("default", database_now("default") + 3 * HOUR) == 0


def test_a_bounded_number_of_pauses_end_in_a_pass() -> None:
    until = database_now("default") + HOUR
    for _ in range(3):
        pause(schedule(), until=until)
    tick("default", until, limit=2)
    assert RepeatingTask.objects.filter(enabled=True).count() == 2
    tick("default", until, limit=2)
    assert RepeatingTask.objects.filter(enabled=True).count() == 3


@pytest.mark.parametrize(
    ("columns", "error", "kept"),
    [
        # Its last slot came within the pause.
        ({"end_after": NOON}, "no slot", False),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus", True),
        ({"crontab": "0 0 30 2 *"}, "never comes", True),
    ],
)
def test_who_cannot_come_again_is_not_resumed_by_the_end_of_its_pause(
    columns: dict[str, Any], error: str, kept: bool
) -> None:
    row, good = schedule(), schedule()
    until = database_now("default") + HOUR
    for each in (row, good):
        pause(each, "why", until=until)
    RepeatingTask.objects.filter(pk=row.pk).update(**columns)
    for _ in range(2):
        tick("default", until)
    row.refresh_from_db()
    assert (row.enabled, row.next_run, row.paused_until) == (False, None, None)
    assert error in row.last_error
    assert (row.pause_reason == "why") is kept
    good.refresh_from_db()
    assert good.enabled


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        (datetime(2126, 1, 1), "naive"),
        (NOON, "is over"),
        (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "is too far; use a year from"),
    ],
)
def test_an_end_that_is_none_is_refused(until: datetime, reason: str) -> None:
    row = schedule()
    with pytest.raises(ValueError, match=reason):
        pause(row, until=until)
    row.refresh_from_db()
    assert row.enabled


# --- by hand --------------------------------------------------------------------------


def test_a_run_by_hand_is_one_of_its_runs_and_moves_no_slot() -> None:
    row = schedule(next_run=NOON, args=[3], queue="mail")
    task = run_now(row)
    assert (task.args, task.queue, task.created) == ((3,), "mail", True)
    assert list(row.runs()) == [task]
    row.refresh_from_db()
    assert (row.next_run, row.last_run) == (NOON, None)


def test_while_a_run_is_open_one_by_hand_is_that_run() -> None:
    row = schedule(next_run=NOON)
    tick("default", NOON)
    task = run_now(row)
    assert not task.created
    assert list(row.runs()) == [task]


def test_what_is_paused_can_be_run_by_hand() -> None:
    row = schedule()
    pause(row)
    assert run_now(row).created


def test_what_cannot_run_is_not_run_by_hand() -> None:
    row = schedule(name="gone", crontab="@daily")
    with pytest.raises(UnknownTask, match="gone"):
        run_now(row)
    assert not Slot.objects.exists()


# --- what it made ---------------------------------------------------------------------


def test_its_runs_are_known_newest_first_and_the_last_one_for_good() -> None:
    row, other = schedule(next_run=NOON, coalesce=False), schedule(next_run=NOON)
    for hours in range(3):
        tick("default", NOON + hours * HOUR)
    runs = list(row.runs())
    assert len(runs) == 3
    assert [run.pk for run in runs] == sorted((r.pk for r in runs), reverse=True)
    assert other.runs().count() == 1
    while prune("default", NOON + timedelta(days=400), limit=1):
        pass
    assert list(row.runs()) == runs[:1]
    assert other.runs().count() == 1


def test_pruning_looks_at_a_bounded_number() -> None:
    for _ in range(5):
        schedule(next_run=NOON, coalesce=False)
    tick("default", NOON)
    tick("default", NOON + HOUR)
    pruned = [prune("default", NOON + timedelta(days=8), limit=2) for _ in range(4)]
    assert pruned == [2, 2, 1, 0]
    assert Slot.objects.count() == 5


def test_a_run_whose_task_was_pruned_is_not_among_them() -> None:
    row = schedule(next_run=NOON)
    tick("default", NOON)
    Task.objects.all().delete()
    assert list(row.runs()) == []


def test_the_slot_of_a_run_by_hand_is_forgotten_as_others_are() -> None:
    row = schedule(next_run=NOON)
    task = run_now(row)
    made = Slot.objects.get().made
    assert prune("default", made + timedelta(days=7)) == 0
    assert list(row.runs()) == [task]
    assert prune("default", made + timedelta(days=7, seconds=1)) == 1
