"""Schedules made by migrations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import repeating_samples as samples
from django.db import connection
from django.db.migrations import RunPython
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from cq.errors import CodecError, UnknownTask
from cq.models import schedule_task
from cq_scheduler import at, cron, every, unschedule_task
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker.tick import tick
from cq_scheduler.timing import when as timing

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


# --- schedule_task --------------------------------------------------------------------


def state_at_first_migration() -> Any:
    return MigrationLoader(connection).project_state(("cq_scheduler", "0001_initial"))


@pytest.mark.django_db(transaction=True)
def test_a_data_migration_schedules_as_the_first_readme_says() -> None:
    def add_repeating(apps: Any, schema_editor: Any) -> None:
        RepeatingTask = apps.get_model("cq_scheduler.RepeatingTask")
        schedule_task(RepeatingTask, "* * * * *", samples.nightly)

    before = timezone.now()
    state = state_at_first_migration()
    with connection.schema_editor() as editor:
        RunPython(add_repeating).database_forwards("shop", editor, state, state)
    row = RepeatingTask.objects.get()
    assert (row.name, row.args, row.kwargs) == (samples.nightly.name, (), {})
    assert row.enabled
    assert row.coalesce
    assert row.misfire == "latest"
    assert row.next_run is not None
    assert row.next_run >= cron.next_run("* * * * *", before, "UTC")
    assert tick("default", row.next_run) == 1


@pytest.mark.django_db
def test_the_historical_row_is_returned_and_can_be_read() -> None:
    model = state_at_first_migration().apps.get_model("cq_scheduler", "RepeatingTask")
    row = schedule_task(model, "@daily", samples.report, (1,), {"to": "me"})
    assert isinstance(row, model)
    assert model.objects.get(pk=row.pk).args == (1,)
    assert model.objects.get(pk=row.pk).kwargs == {"to": "me"}


@pytest.mark.django_db
def test_a_model_from_before_a_field_gets_those_it_has() -> None:
    state = state_at_first_migration()
    state.remove_field("cq_scheduler", "repeatingtask", "priority")
    model = state.apps.get_model("cq_scheduler", "RepeatingTask")
    made = schedule_task(model, "@daily", samples.report, priority=5, queue="mail")
    row = RepeatingTask.objects.get(pk=made.pk)
    assert (row.priority, row.queue) == (None, "mail")
    schedule_task(model, "@daily", samples.report, priority=5, queue="slow")
    row.refresh_from_db()
    assert row.queue == "slow"


@pytest.mark.django_db
def test_all_that_a_schedule_has_can_be_given() -> None:
    row = schedule_task(
        RepeatingTask,
        "0 9 * * mon-fri",
        samples.report.name,
        args=[7],
        kwargs={"to": "me"},
        timezone="Asia/Tokyo",
        coalesce=False,
        misfire="skip",
        queue="mail",
        priority=5,
        result_ttl=3600,
    )
    row.full_clean()
    row.refresh_from_db()
    assert (row.args, row.kwargs, row.timezone) == ((7,), {"to": "me"}, "Asia/Tokyo")
    assert (row.coalesce, row.misfire, row.queue) == (False, "skip", "mail")
    assert (row.priority, row.result_ttl) == (5, 3600)
    assert row.next_run.hour == 0


@pytest.mark.django_db
def test_one_that_begins_paused_waits_for_nothing() -> None:
    row = schedule_task(RepeatingTask, "@daily", samples.report, enabled=False)
    assert (row.enabled, row.next_run) == (False, None)


@pytest.mark.django_db
def test_the_same_schedule_again_is_the_same_row() -> None:
    def again(**fields: Any) -> Any:
        return schedule_task(
            RepeatingTask, "@daily", samples.report, [1], {"to": "me"}, **fields
        )

    first = again()
    assert again().pk == first.pk
    assert again(queue="mail").pk == first.pk
    first.refresh_from_db()
    assert first.queue == "mail"
    others = {
        schedule_task(RepeatingTask, "@daily", samples.report, [2], {"to": "me"}).pk,
        schedule_task(RepeatingTask, "@daily", samples.report, [1]).pk,
        schedule_task(RepeatingTask, "@hourly", samples.report, [1], {"to": "me"}).pk,
        schedule_task(RepeatingTask, "@daily", samples.nightly).pk,
        again(timezone="Asia/Tokyo").pk,
    }
    assert len(others | {first.pk}) == 6


@pytest.mark.parametrize("historical", [False, True])
@pytest.mark.django_db
def test_paused_and_resumed_by_migrations_it_waits_for_its_next_slot(
    historical: bool,
) -> None:
    model: Any = RepeatingTask
    if historical:
        model = state_at_first_migration().apps.get_model("cq_scheduler.RepeatingTask")
    row = RepeatingTask.objects.get(
        pk=schedule_task(model, "@daily", samples.report).pk
    )
    schedule_task(model, "@daily", samples.report, enabled=False)
    row.refresh_from_db()
    assert (row.enabled, row.next_run) == (False, None)
    RepeatingTask.objects.update(paused_at=NOON, paused_by="kim")
    schedule_task(model, "@daily", samples.report, enabled=True)
    row.refresh_from_db()
    assert (row.enabled, row.paused_at, row.paused_by) == (True, None, "")
    assert row.next_run is not None
    assert row.next_run > timezone.now()
    # Once more: a slot that has come meanwhile is not left out.
    RepeatingTask.objects.update(next_run=NOON)
    schedule_task(model, "@daily", samples.report, enabled=True)
    row.refresh_from_db()
    assert row.next_run == NOON


def undecorated() -> None:
    pass


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"crontab": "* * * * 8"}, cron.CronError, "day of week"),
        ({"crontab": "0 0 30 2 *"}, cron.CronError, "day of month"),
        ({"crontab": "*," * 50_000 + "*"}, cron.CronError, "256"),
        ({"timezone": "Mars/Olympus"}, cron.CronError, "Mars/Olympus"),
        ({"func": "os.system"}, UnknownTask, "os.system"),
        ({"func": undecorated}, TypeError, "@task"),
        ({"func": samples.report.using(queue="mail")}, TypeError, "queue="),
        ({"args": (1, 2)}, TypeError, "too many positional"),
        ({"kwargs": {"too": "many"}}, TypeError, "unexpected keyword"),
        ({"args": (object(),)}, CodecError, r"args\[0\]"),
        ({"coalesec": False}, TypeError, "no field 'coalesec'"),
    ],
)
@pytest.mark.django_db
def test_bad_input_is_refused_where_it_is_given(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"crontab": "@daily", "func": samples.report, **change}
    with pytest.raises(error, match=message):
        schedule_task(RepeatingTask, **given)
    assert not RepeatingTask.objects.exists()


# --- other than lines -----------------------------------------------------------------


@pytest.mark.django_db
def test_an_interval_stands_where_a_line_does() -> None:
    model = state_at_first_migration().apps.get_model("cq_scheduler", "RepeatingTask")
    made = schedule_task(model, every(minutes=90), samples.report, [1], jitter=5)
    row = RepeatingTask.objects.get()
    assert (row.pk, row.crontab) == (made.pk, "")
    assert (row.interval, row.jitter) == (timedelta(minutes=90), 5)
    assert row.anchor is not None
    assert row.next_run == row.anchor + timedelta(minutes=90) + timing.delay(row)
    again = schedule_task(model, every(minutes=90), samples.report, [1], queue="mail")
    assert again.pk == made.pk
    anchored = every(minutes=90, anchor=NOON)
    assert schedule_task(model, anchored, samples.report, [1]).pk != made.pk
    with pytest.raises(cron.CronError, match="interval"):
        schedule_task(model, every(), samples.report)


@pytest.mark.django_db
def test_a_moment_stands_where_a_line_does() -> None:
    moment = timezone.now().replace(microsecond=0) + timedelta(days=3)
    row = schedule_task(RepeatingTask, at(moment), samples.report)
    row.full_clean()
    row.refresh_from_db()
    assert (row.at, row.next_run) == (moment, moment)
    past = schedule_task(RepeatingTask, at(NOON - timedelta(days=9)), samples.nightly)
    assert (past.enabled, past.next_run) == (False, None)


@pytest.mark.django_db
def test_limits_can_be_given() -> None:
    start = timezone.now() + timedelta(days=30)
    row = schedule_task(
        RepeatingTask, "0 3 * * *", samples.report, start_after=start, end_after=None
    )
    assert row.next_run >= start
    later = start + timedelta(days=30)
    schedule_task(RepeatingTask, "0 3 * * *", samples.report, start_after=later)
    row.refresh_from_db()
    assert row.next_run >= later


@pytest.mark.django_db
def test_a_model_from_before_intervals_is_not_given_one() -> None:
    state = state_at_first_migration()
    state.remove_constraint("cq_scheduler", "repeatingtask", "cq_schedule_one_kind")
    state.remove_field("cq_scheduler", "repeatingtask", "interval")
    model = state.apps.get_model("cq_scheduler", "RepeatingTask")
    with pytest.raises(TypeError, match="no column 'interval'"):
        schedule_task(model, every(hours=1), samples.report)
    assert schedule_task(model, "@daily", samples.report).pk


# --- unschedule_task ------------------------------------------------------------------


@pytest.mark.parametrize(
    "when", ["@daily", every(minutes=90), at(NOON.replace(year=2050))]
)
@pytest.mark.django_db
def test_what_was_scheduled_is_unscheduled_by_the_same_call(when: Any) -> None:
    model = state_at_first_migration().apps.get_model("cq_scheduler", "RepeatingTask")
    call = (model, when, samples.report, [1], {"to": "me"})
    made = schedule_task(*call, queue="mail")
    other = schedule_task(model, when, samples.report, [2], {"to": "me"})
    assert unschedule_task(*call, queue="mail") == 1
    assert unschedule_task(*call) == 0
    assert RepeatingTask.objects.get().pk == other.pk != made.pk


@pytest.mark.django_db
def test_a_schedule_whose_task_is_gone_from_the_code_can_be_unscheduled() -> None:
    schedule_task(RepeatingTask, "@daily", samples.report)
    RepeatingTask.objects.update(name="shop.tasks.gone")
    assert unschedule_task(RepeatingTask, "@daily", "shop.tasks.gone") == 1
    with pytest.raises(TypeError, match="no field 'quue'"):
        unschedule_task(RepeatingTask, "@daily", "shop.tasks.gone", quue="mail")


@pytest.mark.django_db
def test_slots_go_with_a_historical_row_that_is_unscheduled() -> None:
    row = schedule_task(RepeatingTask, "@daily", samples.report)
    assert tick("default", row.next_run) == 1
    model = state_at_first_migration().apps.get_model("cq_scheduler", "RepeatingTask")
    assert unschedule_task(model, "@daily", samples.report) == 1
    assert not Slot.objects.exists()


@pytest.mark.django_db
def test_one_in_code_is_not_unscheduled() -> None:
    RepeatingTask.objects.create(name=samples.report.name, crontab="@daily", key="k")
    assert unschedule_task(RepeatingTask, "@daily", samples.report) == 0
