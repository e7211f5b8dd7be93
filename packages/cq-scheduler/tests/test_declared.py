"""Schedules declared in code, and the rows they become."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from ticking import at_once

from cq.models import Task
from cq_scheduler import cron, every, pause, repeat, schedule_task
from cq_scheduler.actions.pause import PAUSED_BY_SYNC
from cq_scheduler.actions.post_migrate import sync_after_migrate
from cq_scheduler.actions.sync import make_missing, sync
from cq_scheduler.declaring import repeat as in_code
from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = {}
    monkeypatch.setattr(in_code, "_declared", found)
    return found


@pytest.mark.django_db
def test_a_declared_schedule_becomes_a_row() -> None:
    same = repeat("0 3 * * *", args=[5], timezone="Asia/Tokyo")(samples.report)
    assert same is samples.report
    assert sync("default").made == [f"{samples.report.name}:"]
    row = RepeatingTask.objects.get()
    assert (row.name, row.args, row.crontab) == (samples.report.name, (5,), "0 3 * * *")
    assert row.timezone == "Asia/Tokyo"
    assert row.next_run is not None
    assert row.next_run.hour == 18
    assert not sync("default")


@pytest.mark.django_db
def test_a_change_in_code_changes_the_row(declared: dict[str, Any]) -> None:
    repeat("0 3 * * *", priority=5)(samples.report)
    sync("default")
    before = RepeatingTask.objects.get()
    declared.clear()
    repeat("30 4 * * *", args=[1])(samples.report)
    assert len(sync("default").changed) == 1
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
def test_keys_are_told_apart_exactly() -> None:
    for key in ("late", "Late", "láte", "late "):
        repeat("0 3 * * *", key=key)(samples.report)

    assert len(sync("default").made) == 4
    assert not sync("default")


@pytest.mark.django_db
def test_several_of_one_task_are_told_apart_by_key() -> None:
    repeat("0 3 * * *", key="late")(repeat("0 2 * * *")(samples.report))
    with pytest.raises(ValueError, match="another key="):
        repeat("0 4 * * *")(samples.report)
    assert len(sync("default").made) == 2


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
        repeat("@daily")(lambda cqt: None)


@pytest.mark.django_db
def test_one_that_cannot_be_stored_does_not_hold_up_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    repeat("@daily", timezone="Mars/Olympus")(samples.report)
    repeat("@daily")(samples.nightly)
    synced = sync("default")
    assert (len(synced.made), len(synced.refused)) == (1, 1)
    assert "Mars/Olympus" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_several_processes_that_start_together_insert_once() -> None:
    repeat("0 3 * * *")(samples.report)
    repeat("0 4 * * *")(samples.nightly)
    at_once(4, lambda: sync("default"))
    assert RepeatingTask.objects.count() == 2
    assert not Task.objects.exists()


# --- what the code says, and what people say ------------------------------------------


@pytest.mark.django_db
def test_one_that_is_gone_from_the_code_is_paused_and_comes_back(
    declared: dict[str, Any],
) -> None:
    repeat("0 3 * * *")(samples.report)
    repeat("0 4 * * *")(samples.nightly)
    schedule_task(RepeatingTask, "0 5 * * *", samples.report)
    sync("default")
    kept = dict(declared)
    del declared[f"{samples.report.name}:"]
    assert sync("default").gone == [f"{samples.report.name}:"]
    assert not sync("default")
    row = RepeatingTask.objects.get(key=f"{samples.report.name}:")
    assert (row.enabled, row.next_run, row.paused_by) == (False, None, PAUSED_BY_SYNC)
    assert "no @repeat" in row.pause_reason
    assert RepeatingTask.objects.filter(enabled=True).count() == 2

    declared.update(kept)
    assert sync("default").changed == [f"{samples.report.name}:"]
    row.refresh_from_db()
    assert row.enabled
    assert row.next_run is not None
    assert row.paused_by == ""


@pytest.mark.django_db
def test_who_was_paused_by_a_person_stays_so_when_the_code_goes_and_comes_back(
    declared: dict[str, Any],
) -> None:
    repeat("0 3 * * *")(samples.report)
    sync("default")
    row = RepeatingTask.objects.get()
    pause(row, "not now", "kim")
    kept = dict(declared)
    declared.clear()
    assert not sync("default")
    declared.update(kept)
    assert not sync("default")
    row.refresh_from_db()
    assert (row.enabled, row.paused_by) == (False, "kim")


@pytest.mark.django_db
def test_a_process_that_starts_makes_what_is_missing_and_changes_nothing(
    declared: dict[str, Any],
) -> None:
    """It may have the code of before the last deploy."""
    repeat("0 3 * * *")(samples.report)
    repeat("0 4 * * *")(samples.nightly)
    sync("default")
    declared.clear()
    repeat("30 4 * * *")(samples.report)
    repeat("0 5 * * *")(samples.mailing)
    assert make_missing("default").made == [f"{samples.mailing.name}:"]
    lines = RepeatingTask.objects.filter(enabled=True).values_list("name", "crontab")
    assert dict(lines) == {
        samples.report.name: "0 3 * * *",
        samples.nightly.name: "0 4 * * *",
        samples.mailing.name: "0 5 * * *",
    }


@pytest.mark.django_db
def test_an_interval_in_code_keeps_its_anchor_and_may_become_a_line(
    declared: dict[str, Any],
) -> None:
    repeat(every(minutes=90), jitter=30)(samples.report)
    assert sync("default").made
    row = RepeatingTask.objects.get()
    assert (row.interval, row.in_code) == (timedelta(minutes=90), True)
    assert not sync("default")
    declared.clear()
    repeat(every(minutes=30))(samples.report)
    assert sync("default").changed
    changed = RepeatingTask.objects.get()
    assert (changed.interval, changed.jitter) == (timedelta(minutes=30), 0)
    assert changed.anchor == row.anchor
    declared.clear()
    repeat("@daily")(samples.report)
    assert sync("default").changed
    changed.refresh_from_db()
    assert (changed.crontab, changed.interval, changed.anchor) == ("@daily", None, None)


# --- after migrate --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_migrate_brings_the_rows_up_to_date() -> None:
    repeat("0 3 * * *")(samples.report)
    call_command("migrate", "cq_scheduler", verbosity=0)
    assert RepeatingTask.objects.get().key == f"{samples.report.name}:"


@pytest.mark.django_db(transaction=True)
def test_a_migration_back_leaves_the_rows_alone() -> None:
    repeat("0 3 * * *")(samples.report)
    app = apps.get_app_config("cq_scheduler")
    state = MigrationLoader(connection).project_state(("cq_scheduler", "0001_initial"))
    state.remove_field("cq_scheduler", "repeatingtask", "jitter")
    for historical in (state.apps, MigrationLoader(connection).project_state().apps):
        sync_after_migrate(sender=app, using="default", apps=historical)
    assert RepeatingTask.objects.count() == 1
    RepeatingTask.objects.all().delete()
    state = MigrationLoader(connection).project_state(("cq", "0001_tasks"))
    sync_after_migrate(sender=app, using="default", apps=state.apps)
    sync_after_migrate(sender=app, using="other")
    assert not RepeatingTask.objects.exists()


@pytest.mark.django_db
def test_nothing_is_synced_where_migrations_are_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # With MIGRATION_MODULES = {"cq_scheduler": None}, and no --run-syncdb.
    repeat("0 3 * * *")(samples.report)
    app = apps.get_app_config("cq_scheduler")
    with monkeypatch.context() as patched:
        patched.setattr(RepeatingTask._meta, "db_table", "cq_never_made")
        sync_after_migrate(sender=app, using="default")
    assert not RepeatingTask.objects.exists()
    sync_after_migrate(sender=app, using="default")
    assert RepeatingTask.objects.count() == 1
