"""A tick: one task for each slot, whoever ticks, whatever the clock does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.db import models
from referring import referring
from ticking import HOUR, MINUTE, NOON, schedule

from cq import lifecycle
from cq.errors import UniqueTaken
from cq.models import Task
from cq.status import OPEN, Status
from cq.tables.values import schedule_of
from cq.workers.claim_order import claim_next
from cq.workers.lease import Lease
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker.prune import prune
from cq_scheduler.ticker.tick import tick

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def worker(db: None) -> Iterator[int]:
    lease = Lease("default", "test")
    lease.register()
    yield lease.worker
    lease.close()


# --- what is made ---------------------------------------------------------------------


@pytest.mark.django_db
def test_what_is_due_becomes_a_task_and_moves_on_from_its_slot() -> None:
    row = schedule(args=[3], kwargs={"to": "me"})
    assert tick("default", NOON + timedelta(seconds=2)) == 1
    task = Task.objects.get()
    assert (task.name, task.args, task.kwargs) == (row.name, (3,), {"to": "me"})
    assert task.status == Status.QUEUED
    row.refresh_from_db()
    assert (row.last_run, row.next_run) == (NOON, NOON + HOUR)
    slot = Slot.objects.get()
    assert (slot.schedule, slot.slot, slot.task_id) == (row, NOON, task.pk)


@pytest.mark.django_db
def test_a_task_keeps_which_schedule_has_made_it() -> None:
    plain = schedule(coalesce=False)
    with_options = schedule(result_ttl=60, context={})
    assert tick("default", NOON) == 2
    found = {schedule_of(task.options) for task in Task.objects.all()}
    assert found == {plain.pk, with_options.pk}


@pytest.mark.django_db
def test_what_is_not_due_is_left_alone() -> None:
    schedule()
    schedule(enabled=False)
    RepeatingTask.objects.filter(enabled=False).update(next_run=NOON - HOUR)
    assert tick("default", NOON - timedelta(seconds=1)) == 0
    assert not Task.objects.exists()


@pytest.mark.django_db
def test_the_rows_options_come_before_those_of_the_task() -> None:
    schedule(name=samples.mailing.name)
    schedule(name=samples.mailing.name, queue="slow", priority=-3, result_ttl=60)
    assert tick("default", NOON) == 2
    found = Task.objects.order_by("id").values_list("queue", "priority", "result_ttl")
    assert list(found) == [("mail", 7, None), ("slow", -3, 60)]


@pytest.mark.django_db
def test_a_pass_is_bounded_and_the_next_one_goes_on() -> None:
    for _ in range(5):
        schedule()
    assert [tick("default", NOON, limit=2) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.django_db
def test_the_database_says_what_time_it_is() -> None:
    row = schedule(crontab="* * * * *")
    assert tick("default") == 1
    row.refresh_from_db()
    slot = Slot.objects.get()
    assert row.last_run == slot.slot
    assert slot.slot <= slot.made < row.next_run


@pytest.mark.django_db(transaction=True)
def test_a_tick_only_records_where_tasks_would_run_right_after_commit(
    settings: Any,
) -> None:
    settings.CQ_RUN_INLINE = True
    schedule()
    tick("default", NOON)
    assert Task.objects.get().status == Status.QUEUED


@pytest.mark.django_db
def test_a_row_that_knows_no_slot_yet_gets_its_first() -> None:
    row = schedule()
    RepeatingTask.objects.update(next_run=None)
    assert tick("default", NOON) == 0
    row.refresh_from_db()
    assert row.next_run == NOON + HOUR


# --- misfires -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "slots", "last"),
    [("latest", 1, 18), ("skip", 0, None), ("all", 7, 18)],
)
@pytest.mark.django_db
def test_row_50_six_hours_without_a_scheduler(
    policy: str, slots: int, last: int | None
) -> None:
    row = schedule(misfire=policy, coalesce=False)
    now = NOON + 6 * HOUR + 30 * MINUTE
    missed = {"latest": (NOON, NOON + 5 * HOUR), "skip": (NOON, NOON + 6 * HOUR)}
    assert tick("default", now) == slots
    assert tick("default", now) == 0
    assert Task.objects.count() == Slot.objects.count() == slots
    row.refresh_from_db()
    assert row.next_run == NOON + 7 * HOUR
    assert row.last_run == (None if last is None else NOON.replace(hour=last))
    assert (row.missed_from, row.missed_until) == missed.get(policy, (None, None))


@pytest.mark.django_db
def test_one_slot_that_was_missed_is_told_as_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    schedule(misfire="latest", coalesce=False)
    tick("default", NOON + HOUR + MINUTE)
    assert f"nobody was there for its slot of {NOON}" in caplog.text


@pytest.mark.django_db
def test_row_50_all_makes_at_most_a_hundred(caplog: pytest.LogCaptureFixture) -> None:
    row = schedule(crontab="* * * * *", misfire="all", coalesce=False)
    assert tick("default", NOON + 6 * HOUR) == 100
    newest = Slot.objects.order_by("-slot").first()
    assert newest is not None
    assert newest.slot == NOON + 6 * HOUR
    row.refresh_from_db()
    first_made = NOON + 6 * HOUR - 99 * MINUTE
    assert (row.missed_from, row.missed_until) == (NOON, first_made - MINUTE)
    assert f"nobody was there for its slots from {NOON} to" in caplog.text
    # What was missed before stays to be read when nothing is.
    assert tick("default", NOON + 6 * HOUR + MINUTE) == 1
    row.refresh_from_db()
    assert row.missed_from == NOON


@pytest.mark.django_db
def test_row_50_who_coalesces_makes_up_for_one_only() -> None:
    row = schedule(misfire="all")
    assert tick("default", NOON + 6 * HOUR) == 1
    row.refresh_from_db()
    assert row.last_run == NOON
    assert row.last_coalesced == NOON + 6 * HOUR
    assert row.next_run == NOON + 7 * HOUR


# --- the clock ------------------------------------------------------------------------


@pytest.mark.django_db
def test_row_47_a_clock_that_is_set_back_makes_no_slot_twice() -> None:
    schedule(crontab="* * * * *", coalesce=False)
    for minutes in (0, 1, 2, 3, -2, -1, 0, 1, 2, 3, 4):
        tick("default", NOON + minutes * MINUTE)
    slots = list(Slot.objects.order_by("slot").values_list("slot", flat=True))
    assert slots == [NOON + i * MINUTE for i in range(5)]
    assert Task.objects.count() == 5


@pytest.mark.django_db
def test_row_47_a_slot_is_made_once_even_if_the_row_is_set_back() -> None:
    row = schedule(coalesce=False)
    tick("default", NOON)
    Task.objects.all().delete()  # pruned: what was made is known all the same
    RepeatingTask.objects.update(next_run=NOON)
    assert tick("default", NOON + MINUTE) == 0
    assert not Task.objects.exists()
    row.refresh_from_db()
    assert row.next_run == NOON + HOUR


@pytest.mark.django_db
def test_row_56_ten_years_ahead_is_as_near_as_an_hour() -> None:
    row = schedule(coalesce=False)
    later = NOON.replace(year=2036)
    assert tick("default", later) == 1
    row.refresh_from_db()
    assert (row.last_run, row.next_run) == (later, later + HOUR)


@pytest.mark.django_db
def test_slots_are_known_for_a_week() -> None:
    schedule(coalesce=False)
    tick("default", NOON)
    tick("default", NOON + HOUR)
    assert prune("default", NOON + timedelta(days=7)) == 0
    assert prune("default", NOON + timedelta(days=7, seconds=1)) == 1
    assert Slot.objects.get().slot == NOON + HOUR


@pytest.mark.django_db(transaction=True)
def test_slots_that_somebody_protects_keep_no_others(settings: Any) -> None:
    schedule(coalesce=False)
    for hour in range(4):
        tick("default", NOON + hour * HOUR)
    first, second, third, _last = Slot.objects.order_by("slot")
    later = NOON + timedelta(days=8)
    protects, nulls = (
        models.ForeignKey(Slot, rule, null=True, related_name="+")
        for rule in (models.PROTECT, models.SET_NULL)
    )
    with referring(protects, nulls) as (Invoice, Export):
        Invoice.objects.create(row=first)
        export = Export.objects.create(row=second)
        assert prune("default", later, limit=1) == 1
        assert prune("default", later, limit=1) == 1
        assert prune("default", later) == 0
        export.refresh_from_db()
        assert export.row_id is None
        assert Slot.objects.filter(pk=first.pk).exists()
        assert not Slot.objects.filter(pk=third.pk).exists()


# --- coalescing -----------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(OPEN))
@pytest.mark.django_db
def test_row_52_while_a_run_is_open_no_other_is_made(status: str, worker: int) -> None:
    row = schedule()
    tick("default", NOON)
    by = worker if status == Status.RUNNING else None
    Task.objects.update(status=status, worker=by, run_after=NOON)
    assert tick("default", NOON + HOUR) == 0
    assert Task.objects.count() == Slot.objects.count() == 1
    row.refresh_from_db()
    # It was looked at, and goes on with the next.
    assert (row.last_run, row.next_run) == (NOON, NOON + 2 * HOUR)
    assert (row.last_error, row.last_coalesced) == ("", NOON + HOUR)


@pytest.mark.django_db
def test_a_run_that_is_done_makes_way(worker: int) -> None:
    schedule()
    tick("default", NOON)
    [task] = claim_next("default", worker, 1)
    claim = lifecycle.Claim(task.pk, task.fence, worker)
    assert lifecycle.complete("default", claim, "null") == Status.COMPLETE
    assert tick("default", NOON + HOUR) == 1


@pytest.mark.parametrize("status", ["LOST", "FAILURE", "REVOKED", "EXPIRED"])
@pytest.mark.django_db
def test_row_52_a_run_that_came_to_nothing_does_not_block(status: str) -> None:
    schedule()
    tick("default", NOON)
    Task.objects.update(status=status, finished=NOON, unique_key=None)
    assert tick("default", NOON + HOUR) == 1


@pytest.mark.django_db
def test_row_52_a_run_that_was_deleted_does_not_block() -> None:
    schedule()
    tick("default", NOON)
    Task.objects.all().delete()
    assert tick("default", NOON + HOUR) == 1


@pytest.mark.django_db
def test_row_52_two_schedules_of_one_task_do_not_block_each_other() -> None:
    schedule(args=[1])
    schedule(args=[1])
    assert tick("default", NOON) == 2


@pytest.mark.django_db
def test_row_52_a_run_with_other_arguments_does_not_block() -> None:
    row = schedule(args=[1])
    tick("default", NOON)
    row = RepeatingTask.objects.get(pk=row.pk)
    row.args = [2]
    row.save()
    assert tick("default", NOON + HOUR) == 1
    assert tick("default", NOON + 2 * HOUR) == 0


@pytest.mark.django_db
def test_who_does_not_coalesce_makes_one_each_time() -> None:
    schedule(coalesce=False)
    assert [tick("default", NOON + i * HOUR) for i in range(3)] == [1, 1, 1]


@pytest.mark.django_db(transaction=True)
def test_row_52_a_retry_by_hand_makes_no_second_open_run() -> None:
    schedule()
    tick("default", NOON)
    first = Task.objects.get()
    Task.objects.update(status="FAILURE", finished=NOON, unique_key=None)
    first.retry()
    assert tick("default", NOON + HOUR) == 0
    Task.objects.update(status="FAILURE", finished=NOON, unique_key=None)
    assert tick("default", NOON + 2 * HOUR) == 1
    with pytest.raises(UniqueTaken):
        first.retry()


@pytest.mark.django_db
def test_a_key_of_the_tasks_own_is_respected() -> None:
    live = samples.single.delay()
    schedule(name=samples.single.name)
    assert tick("default", NOON) == 0
    assert Task.objects.get().pk == live.pk
