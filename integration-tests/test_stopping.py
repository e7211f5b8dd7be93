"""A task that hears that its worker is to stop, and leaves the rest to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from floor import durable, endless, tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Place, Task

if TYPE_CHECKING:
    from processes import Process, Workers


def fresh(handle: Task) -> Task:
    return Task.objects.get(pk=handle.pk)


def cqworker(workers: Workers) -> Process:
    return workers.start("--threads", "1")


def run(workers: Workers) -> Process:
    return workers.command("cq", "run", "--loop")


# A worker has slots for both; of the other the place is for one.
WAYS: list[tuple[Any, list[Any]]] = [
    (cqworker, [endless.until_told, endless.awaits_being_told]),
    (run, [endless.until_told]),
    (run, [endless.awaits_being_told]),
]


@pytest.mark.parametrize(("start", "functions"), WAYS)
def test_a_task_that_looks_whether_its_worker_is_to_stop_ends_by_itself(
    workers: Workers, start: Any, functions: list[Any]
) -> None:
    first = start(workers)
    handles = [function.delay() for function in functions]
    # Of its function: what is claimed and has not begun is given back.
    begun = Effect.objects.filter(key=1)
    until(lambda: begun.count() == len(functions), "their start")

    assert first.terminate() == 0, first.output

    for found in map(fresh, handles):
        # By a retry, and not because the drain was over.
        assert found.status in (Task.STATUS_RETRY, Task.STATUS_QUEUED)
        assert (found.attempts, found.failures, found.losses) == (1, 0, 0)
    assert "Traceback" not in first.output
    start(workers)
    assert [handle.get(PATIENCE) for handle in handles] == [2] * len(functions)


LASTING: list[tuple[Any, list[Any], int]] = [
    (cqworker, [durable.talks, durable.talks_openly], 2),
    (run, [durable.talks], 1),
    (run, [durable.talks_openly], 1),
]


@pytest.mark.parametrize(("start", "functions", "stops"), LASTING)
def test_a_durable_task_goes_on_elsewhere_however_often_its_worker_stops(
    workers: Workers, start: Any, functions: list[Any], stops: int
) -> None:
    handles = [function.delay(10 * n) for n, function in enumerate(functions)]
    begun = Effect.objects.filter(key__in=[10 * n for n in range(len(functions))])
    for _ in range(stops):
        worker = start(workers)
        until(lambda: begun.count() == len(functions), "their first lines")

        # What they run takes longer than any drain, and is not waited for.
        assert worker.terminate() == 0, worker.output

        assert {fresh(handle).status for handle in handles} == {Task.STATUS_QUEUED}
        assert "Traceback" not in worker.output
        begun.delete()
    for number in range(len(functions)):
        Effect.objects.create(key=10 * number + 1)
    start(workers)

    for handle in handles:
        assert handle.get(PATIENCE) == 1
        found = fresh(handle)
        assert (found.attempts, found.failures, found.losses) == (1, 0, 0)
        # None of them had to be taken from its worker.
        assert not found.history.exists()


def test_what_is_inside_a_step_has_the_drain_and_is_done_once(workers: Workers) -> None:
    handle = durable.in_a_step.delay(1)
    worker = workers.start("--threads", "1", "--drain", "1")
    until(lambda: Effect.objects.filter(key=1).exists(), "its first step")

    assert worker.terminate() == 0, worker.output

    assert fresh(handle).status == Task.STATUS_QUEUED
    Effect.objects.create(key=2)
    cqworker(workers)
    assert handle.get(PATIENCE) == 1
    found = fresh(handle)
    assert (found.attempts, found.failures, found.losses) == (1, 0, 0)
    assert sorted(Effect.objects.values_list("key", flat=True)) == [1, 2, 3]


def test_one_that_waits_has_left_its_place_to_others(workers: Workers) -> None:
    workers.start("--threads", "1")
    first, second = (durable.waits_in_the_place.delay(n) for n in range(2))

    for handle in (first, second):
        until(lambda h=handle: fresh(h).status == Task.STATUS_SUSPENDED, "its wait")
    until(lambda: not Place.objects.exists(), "the places to come free")
    for number, handle in enumerate((first, second)):
        handle.send(f"go {number}", number)

    assert [first.get(PATIENCE), second.get(PATIENCE)] == [0, 1]


def test_a_chained_task_starts_when_its_delay_is_over(workers: Workers) -> None:
    workers.start("--threads", "1")
    first = tasks.square.delay(3)
    second = first.chain(tasks.square.using(delay=1))

    assert second.get(PATIENCE) == 81

    first.refresh_from_db()
    waited = second.started - first.finished
    assert waited.total_seconds() >= 1
    assert second.run_after <= second.started
