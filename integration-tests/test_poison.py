"""A task that kills its worker each time is LOST, and no other pays for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from floor import tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Task, Worker

if TYPE_CHECKING:
    from processes import Workers


def test_row_28_a_poison_task_is_lost_and_none_of_those_that_ran_beside_it(
    workers: Workers,
) -> None:
    beside = [tasks.notes_then_waits_for.delay(7, 1) for _ in range(3)]
    poison = tasks.kills_its_process_beside.delay(7, 3)
    others = [tasks.effect.delay(n) for n in range(100, 117)]
    worker = workers.start("--threads", "4")
    seen = Task.objects.filter(pk=poison.pk, losses__gte=2)
    until(seen.exists, "two deaths")
    Effect.objects.create(key=1)

    assert poison.wait(PATIENCE).status == Task.STATUS_LOST, worker.output
    assert (poison.losses, poison.attempts) == (3, 3)
    assert "was killed by SIGKILL" in poison.error
    for task in beside:
        # They had seen as many deaths as a task may see, and more were to come.
        assert task.wait(PATIENCE).status == Task.STATUS_COMPLETE, task.error
        assert task.losses == 2
    for task in others:
        assert task.wait(PATIENCE).status == Task.STATUS_COMPLETE, task.error
        assert task.losses <= 2
    effects = Effect.objects.filter(key__gte=100).values_list("key", flat=True)
    assert sorted(effects) == list(range(100, 117))


def test_row_28_a_suspect_does_not_wait_for_what_runs_for_hours_nor_hold_it_up(
    workers: Workers,
) -> None:
    worker = workers.start("--threads", "2")
    hours = tasks.waits_for.delay(1)
    until(lambda: Task.objects.get(pk=hours.pk).status == "RUNNING", "its start")
    with transaction.atomic():
        suspect = tasks.square.delay(3)
        Task.objects.filter(pk=suspect.pk).update(losses=2)
    later = tasks.square.delay(4)

    assert suspect.get(PATIENCE) == 9, worker.output
    assert later.get(PATIENCE) == 16
    assert suspect.losses == 2
    assert suspect.attempts == 1
    # Another process has taken over, this one runs what it has begun.
    until(lambda: Worker.objects.filter(kind="worker").count() == 2, "another process")
    hours.refresh_from_db()
    assert (hours.status, hours.attempts) == (Task.STATUS_RUNNING, 1)
    Effect.objects.create(key=1)
    assert hours.wait(PATIENCE).losses == 0


def test_row_28_suspects_run_one_at_a_time_where_a_process_runs_one_task_only(
    workers: Workers,
) -> None:
    handles = tasks.square.delay_many([(n,) for n in range(3)])
    Task.objects.update(losses=2)
    workers.start("--threads", "2", "--max-tasks", "1")
    assert [handle.get(PATIENCE) for handle in handles] == [0, 1, 4]
