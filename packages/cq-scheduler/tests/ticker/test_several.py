"""Several schedulers at once, and what happens beside one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from ticking import HOUR, MINUTE, NOON, at_once, schedule

from cq.db.clock import database_now
from cq.models import Task
from cq_scheduler import pause
from cq_scheduler.models import RepeatingTask, Slot, task_call
from cq_scheduler.ticker.loop import seconds_until_due
from cq_scheduler.ticker.tick import tick


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.django_db(transaction=True)
def test_row_49_several_threads_make_exactly_one_task_for_each_slot(
    coalesce: bool,
) -> None:
    # A thread may be minutes ahead of a schedule that others keep locked; by `latest` it
    # would rightly leave out the slots between.
    rows = [
        schedule(coalesce=coalesce, crontab="* * * * *", misfire="all")
        for _ in range(5)
    ]
    made = []

    def tick_through() -> None:
        for minute in range(6):
            made.append(tick("default", NOON + minute * MINUTE))

    at_once(4, tick_through)
    # A schedule that another thread had locked is passed over until the next tick.
    made.append(tick("default", NOON + 5 * MINUTE))
    slots = 5 * (1 if coalesce else 6)
    assert sum(made) == slots
    assert Task.objects.count() == Slot.objects.count() == slots
    for row in rows:
        row.refresh_from_db()
        assert row.next_run == NOON + 6 * MINUTE
        assert row.last_error == ""


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_a_schedule_that_somebody_has_locked_keeps_no_other_waiting() -> None:
    locked, free = schedule(), schedule()
    made: list[int] = []
    with transaction.atomic():
        RepeatingTask.objects.select_for_update().get(pk=locked.pk)
        at_once(1, lambda: made.append(tick("default", NOON)))
    assert made == [1]
    free.refresh_from_db()
    assert free.last_run == NOON
    assert tick("default", NOON) == 1


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_a_paused_one_that_somebody_has_locked_keeps_no_other_waiting() -> None:
    locked = schedule()
    until = database_now("default") + HOUR
    pause(locked, until=until)
    free = schedule(next_run=until)
    made: list[int] = []
    with transaction.atomic():
        RepeatingTask.objects.select_for_update().get(pk=locked.pk)
        at_once(1, lambda: made.append(tick("default", until)))
    assert made == [1]
    free.refresh_from_db()
    assert free.last_run is not None
    tick("default", until)
    locked.refresh_from_db()
    assert locked.enabled


@pytest.mark.django_db(transaction=True)
def test_a_change_made_meanwhile_wins_over_the_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = schedule()
    call_of = task_call.call_of

    def paused_meanwhile(found: RepeatingTask) -> Any:
        RepeatingTask.objects.update(enabled=False)
        return call_of(found)

    monkeypatch.setattr("cq_scheduler.ticker.due.call_of", paused_meanwhile)
    assert tick("default", NOON) == 0
    assert not Task.objects.exists()
    row.refresh_from_db()
    assert (row.enabled, row.next_run) == (False, NOON)


@pytest.mark.django_db(transaction=True)
def test_row_51_a_tick_that_dies_before_its_commit_leaves_everything_as_it_was() -> (
    None
):
    class Killed(BaseException):
        pass

    row = schedule()

    def tick_and_die() -> None:
        with transaction.atomic():
            tick("default", NOON)
            raise Killed

    with pytest.raises(Killed):
        tick_and_die()
    row.refresh_from_db()
    assert row.next_run == NOON
    assert not Slot.objects.exists()
    assert tick("default", NOON) == 1
    assert Task.objects.count() == 1


@pytest.mark.backend("postgres")
@pytest.mark.django_db
def test_row_46_a_host_whose_clock_is_ahead_makes_nothing_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten minutes: what decides is the clock of the database."""
    now = database_now("default")
    schedule(next_run=now + timedelta(minutes=5))
    every_hour = schedule(crontab="", interval=HOUR, next_run=None, coalesce=False)
    ahead = timezone.now() + timedelta(minutes=10)
    monkeypatch.setattr(timezone, "now", lambda: ahead)
    assert tick("default") == 0
    assert 290 < seconds_until_due("default") <= 300
    same = schedule(crontab="", interval=HOUR, next_run=None, coalesce=False)
    assert same.next_run is not None
    assert every_hour.next_run is not None
    assert same.next_run - every_hour.next_run < timedelta(minutes=5)
