"""Real schedulers, alone and several, ended by real signals."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone
from floor import tasks
from processes import PATIENCE, until

from cq.models import Task, schedule_task
from cq_scheduler.models import RepeatingTask, Slot

if TYPE_CHECKING:
    from processes import Process, Workers

HOUR = timedelta(hours=1)


def scheduler(workers: Workers) -> Process:
    process = workers.command("cqscheduler")
    process.wait_for_output("cqscheduler:")
    return process


def test_a_worker_runs_what_a_migration_scheduled(workers: Workers) -> None:
    row = schedule_task(RepeatingTask, "* * * * *", tasks.send_email, ["a@b.org"])
    soon = timezone.now() + timedelta(seconds=2)
    RepeatingTask.objects.update(next_run=soon)  # not a whole minute of waiting
    workers.start()
    task = until(
        Task.objects.filter(status=Task.STATUS_COMPLETE).first, "the task's end"
    )
    assert task.result == "OK"
    assert task.submitted >= soon
    row.refresh_from_db()
    # A worker that is slow to start may find that the next minute has come as well.
    assert row.last_run >= soon


def test_row_49_killed_schedulers_lose_no_slot_and_make_none_twice(
    workers: Workers,
) -> None:
    start = timezone.now().replace(minute=0, second=0, microsecond=0) - 40 * HOUR
    for number in range(20):
        RepeatingTask.objects.create(
            name=tasks.send_email.name,
            args=[f"{number}"],
            crontab="0 * * * *",
            timezone="UTC",
            misfire="all",
            coalesce=False,
            next_run=start,
        )
    running = [scheduler(workers) for _ in range(2)]
    for count in (100, 500):
        until(lambda count=count: Slot.objects.count() > count, f"{count} slots")
        running.pop(0).kill()
        running.append(scheduler(workers))
    overdue = RepeatingTask.objects.filter(next_run__lte=timezone.now())
    until(lambda: not overdue.exists(), "the last slot")
    for process in running:
        assert process.terminate() == 0
    made = 0
    for row in RepeatingTask.objects.all():
        slots = list(row.slots.order_by("slot").values_list("slot", flat=True))
        assert slots == [start + i * HOUR for i in range(len(slots))]
        assert row.next_run == slots[-1] + HOUR
        made += len(slots)
    assert Task.objects.count() == made >= 800
    assert set(Slot.objects.values_list("task_id", flat=True)) == set(
        Task.objects.values_list("pk", flat=True)
    )


def test_row_51_killed_at_any_point_they_make_each_slot_once(workers: Workers) -> None:
    """Row 49, too: eight at a time, a thousand slots, two hundred kills."""
    start = datetime(2026, 1, 5, 12, tzinfo=UTC)
    minutes = [start + timedelta(minutes=number) for number in range(100)]
    for number in range(10):
        RepeatingTask.objects.create(
            name=tasks.send_email.name,
            args=[f"{number}"],
            crontab="* * * * *",
            timezone="UTC",
            misfire="all",
            coalesce=False,
            next_run=start,
            end_after=minutes[-1],
        )
    hurried = workers.program(sys.executable, "-m", "hurried", start.isoformat())
    assert hurried.popen.wait(5 * PATIENCE) == 0, hurried.output
    assert Task.objects.count() == Slot.objects.count() == 1000
    for row in RepeatingTask.objects.all():
        assert (
            list(row.slots.order_by("slot").values_list("slot", flat=True)) == minutes
        )
        assert (row.enabled, row.next_run, row.last_run) == (False, None, minutes[-1])
        assert row.runs().count() == 100
