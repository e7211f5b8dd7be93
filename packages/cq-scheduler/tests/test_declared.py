"""Schedules declared in code, and the rows they become."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.db import connections

from cq.models import Task
from cq_scheduler import cron, repeat, schedule_task
from cq_scheduler import declared as in_code
from cq_scheduler.declared import sync
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
