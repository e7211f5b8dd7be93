"""Schedules made by migrations and by @repeat."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.db import connection, connections
from django.db.migrations import RunPython
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

import cq_scheduler
from cq.errors import CodecError, UnknownTask
from cq.models import Task, schedule_task
from cq_scheduler import cron, repeat, schedules
from cq_scheduler.models import RepeatingTask
from cq_scheduler.schedules import sync
from cq_scheduler.tick import tick

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_both_doors_lead_to_the_same_function() -> None:
    assert schedule_task is cq_scheduler.schedule_task is schedules.schedule_task


def test_public_names_are_there() -> None:
    for name in cq_scheduler.__all__:
        assert getattr(cq_scheduler, name)
        assert name in dir(cq_scheduler)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cq_scheduler.nothing


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


@pytest.mark.django_db
def test_paused_again_by_a_migration_it_waits_for_nothing() -> None:
    row = schedule_task(RepeatingTask, "@daily", samples.report)
    schedule_task(RepeatingTask, "@daily", samples.report, enabled=False)
    row.refresh_from_db()
    assert (row.enabled, row.next_run) == (False, None)


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


# --- repeat ---------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = {}
    monkeypatch.setattr(schedules, "_declared", found)
    return found


@pytest.mark.django_db
def test_a_declared_schedule_becomes_a_row() -> None:
    same = repeat("0 3 * * *", args=[5], timezone="Asia/Tokyo")(samples.report)
    assert same is samples.report
    assert sync("default") == 1
    row = RepeatingTask.objects.get()
    assert (row.name, row.args, row.crontab) == (samples.report.name, (5,), "0 3 * * *")
    assert row.timezone == "Asia/Tokyo"
    assert row.next_run is not None
    assert row.next_run.hour == 18
    assert sync("default") == 0


@pytest.mark.django_db
def test_a_change_in_code_changes_the_row(declared: dict[str, Any]) -> None:
    repeat("0 3 * * *", priority=5)(samples.report)
    sync("default")
    before = RepeatingTask.objects.get()
    declared.clear()
    repeat("30 4 * * *", args=[1])(samples.report)
    assert sync("default") == 1
    row = RepeatingTask.objects.get()
    assert row.pk == before.pk
    assert (row.crontab, row.args, row.priority) == ("30 4 * * *", (1,), None)
    assert row.next_run != before.next_run


@pytest.mark.django_db
def test_who_was_paused_by_a_person_stays_paused() -> None:
    repeat("0 3 * * *")(samples.report)
    sync("default")
    RepeatingTask.objects.update(enabled=False, next_run=None)
    sync("default")
    assert not RepeatingTask.objects.get().enabled


@pytest.mark.django_db
def test_several_of_one_task_are_told_apart_by_key() -> None:
    repeat("0 3 * * *", key="late")(repeat("0 2 * * *")(samples.report))
    with pytest.raises(ValueError, match="another key="):
        repeat("0 4 * * *")(samples.report)
    assert sync("default") == 2


@pytest.mark.django_db
def test_keys_are_told_apart_exactly() -> None:
    for key in ("late", "Late", "láte", "late "):
        repeat("0 3 * * *", key=key)(samples.report)

    assert (sync("default"), sync("default")) == (4, 0)


@pytest.mark.django_db
def test_a_migrations_row_and_a_declared_one_are_two() -> None:
    repeat("0 3 * * *")(samples.report)
    sync("default")
    schedule_task(RepeatingTask, "0 3 * * *", samples.report)
    assert RepeatingTask.objects.count() == 2


@pytest.mark.parametrize(
    ("crontab", "fields", "error"),
    [
        ("* * * * 8", {}, cron.CronError),
        ("@daily", {"args": [1, 2]}, TypeError),
        ("@daily", {"nonsense": 1}, TypeError),
        ("@daily", {"key": "k" * 100}, ValueError),
    ],
)
def test_a_bad_declaration_is_refused_when_the_module_is_loaded(
    crontab: str, fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        repeat(crontab, **fields)(samples.report)
    with pytest.raises(TypeError):
        repeat("@daily")(undecorated)


@pytest.mark.django_db
def test_one_that_cannot_be_stored_does_not_hold_up_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    repeat("@daily", timezone="Mars/Olympus")(samples.report)
    repeat("@daily")(samples.nightly)
    assert sync("default") == 1
    assert "Mars/Olympus" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_several_processes_that_start_together_insert_once() -> None:
    repeat("0 3 * * *")(samples.report)
    repeat("0 4 * * *")(samples.nightly)
    barrier = threading.Barrier(4)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            barrier.wait()
            sync("default")
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert RepeatingTask.objects.count() == 2
    assert not Task.objects.exists()
