"""The loop, on a thread as workers run it and as a command."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.apps import apps
from django.core.management import call_command
from django.db import OperationalError, connections
from django.utils import timezone

from cq.models import Task
from cq_scheduler import repeat
from cq_scheduler.declaring import repeat as declared
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker import loop
from cq_scheduler.ticker import tick as ticks
from cq_scheduler.ticker.loop import Scheduler, seconds_until_due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAST = datetime(2026, 1, 5, 12, tzinfo=UTC)
#: Seconds until a test that waits for another thread gives up.
LONG = 30


@pytest.fixture(autouse=True)
def _nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "_declared", {})


def schedule(**values: Any) -> RepeatingTask:
    values = {
        "name": samples.report.name,
        "crontab": "0 0 1 1 *",
        "next_run": PAST,
        **values,
    }
    return RepeatingTask.objects.create(**values)


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler("default")
    made.start()
    yield made
    made.stop()


@pytest.mark.django_db
def test_row_56_it_waits_for_the_first_slot_however_far_and_looks_each_second() -> None:
    assert seconds_until_due("default") == float("inf")
    now = timezone.now()
    schedule(next_run=now + timedelta(days=3650))
    assert seconds_until_due("default") > 3649 * 86400
    tick_loop = loop.TickLoop("default")
    tick_loop.run_once()
    assert tick_loop.run_once() == loop.LONGEST_WAIT_SECONDS
    schedule(next_run=now + timedelta(hours=1))
    RepeatingTask.objects.filter(pk=schedule().pk).update(enabled=False)
    assert 3500 < seconds_until_due("default") <= 3600
    schedule()
    assert seconds_until_due("default") == 0


@pytest.mark.django_db(transaction=True)
def test_a_worker_looks_by_itself() -> None:
    row = schedule()
    tick_loop = apps.get_app_config("cq_scheduler").make_tick_loop("default")
    assert tick_loop.run_once() <= loop.LONGEST_WAIT_SECONDS
    row.refresh_from_db()
    assert row.last_run is not None
    assert Task.objects.count() == Slot.objects.count() == 1
    assert 0 < tick_loop.run_once() <= loop.LONGEST_WAIT_SECONDS


@pytest.mark.django_db(transaction=True)
def test_a_scheduler_makes_what_is_due_and_stops(
    scheduler: Scheduler,
) -> None:
    row = schedule()
    eventually(Task.objects.exists)
    scheduler.stop()
    row.refresh_from_db()
    assert row.last_run is not None
    assert Slot.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_slot_that_is_near_is_waited_for(scheduler: Scheduler) -> None:
    soon = timezone.now() + timedelta(seconds=1.5)
    schedule(next_run=soon, misfire="all")
    eventually(Slot.objects.exists)
    assert Slot.objects.get().made >= soon


@pytest.mark.django_db(transaction=True)
def test_it_goes_on_after_the_database_was_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "cq")  # a second warning would come in a minute
    tries = []
    tick = ticks.tick

    def fails_twice(using: str) -> int:
        tries.append(using)
        if len(tries) < 3:
            raise OperationalError("the database is away")
        return tick(using)

    monkeypatch.setattr(loop, "tick", fails_twice)
    schedule()
    scheduler = Scheduler("default")
    scheduler.start()
    eventually(Slot.objects.exists)
    scheduler.stop()
    assert caplog.text.count("the database is away") >= 2


@pytest.mark.django_db(transaction=True)
def test_it_brings_declared_schedules_up_to_date_first() -> None:
    repeat("0 3 * * *")(samples.nightly)
    scheduler = Scheduler("default")
    scheduler.start()
    eventually(RepeatingTask.objects.exists)
    scheduler.stop()
    assert RepeatingTask.objects.get().name == samples.nightly.name


@pytest.mark.django_db(transaction=True)
def test_two_loops_make_one_task() -> None:
    row = schedule(coalesce=False)
    both = [Scheduler("default") for _ in range(2)]
    for scheduler in both:
        scheduler.start()

    def moved_on() -> bool:
        row.refresh_from_db()
        return row.next_run is not None and row.next_run > timezone.now()

    eventually(moved_on)
    for scheduler in both:
        scheduler.stop()
    assert Task.objects.count() == Slot.objects.count() == 1


def stop_when(condition: Callable[[], bool], number: int) -> threading.Thread:
    """Send a signal to this process once it is so, or after `LONG` seconds."""

    def watch() -> None:
        try:
            eventually(condition)
        finally:
            connections.close_all()
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.django_db(transaction=True)
def test_the_command_ends_by_a_signal(number: int, settings: Any) -> None:
    before = signal.getsignal(number)
    schedule()
    watch = stop_when(Slot.objects.exists, number)
    call_command("cqscheduler")
    watch.join()
    assert Slot.objects.count() == 1
    assert signal.getsignal(number) is before


@pytest.mark.django_db(transaction=True)
def test_without_channels_the_command_runs_the_tasks_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_installed = apps.is_installed
    monkeypatch.setattr(
        apps, "is_installed", lambda name: name != "cq_channels" and is_installed(name)
    )
    schedule(args=[3])
    watch = stop_when(Task.objects.filter(status="COMPLETE").exists, signal.SIGTERM)
    call_command("cqscheduler")
    watch.join()
    assert Task.objects.get().result == "3 to all"
