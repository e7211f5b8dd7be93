"""A task that hears that its worker is to stop, and leaves the rest to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from floor import endless, tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Task

if TYPE_CHECKING:
    from processes import Process, Workers


def cqworker(workers: Workers) -> Process:
    return workers.start("--threads", "1")


def run(workers: Workers) -> Process:
    return workers.command("cq", "run", "--loop")


WAYS: list[tuple[Any, Any]] = [
    (cqworker, endless.until_told),
    (cqworker, endless.awaits_being_told),
    (run, endless.until_told),
    (run, endless.awaits_being_told),
]


@pytest.mark.parametrize(("start", "function"), WAYS)
def test_a_task_that_looks_whether_its_worker_is_to_stop_ends_by_itself(
    workers: Workers, start: Any, function: Any
) -> None:
    first = start(workers)
    handle = function.delay()
    # Of its function: what is claimed and has not begun is given back.
    until(lambda: Effect.objects.filter(key=1).exists(), "its start")

    assert first.terminate() == 0, first.output

    handle.refresh_from_db()
    # By a retry, and not because the drain was over.
    assert handle.status in (Task.STATUS_RETRY, Task.STATUS_QUEUED)
    assert (handle.attempts, handle.failures, handle.losses) == (1, 0, 0)
    assert "Traceback" not in first.output
    cqworker(workers)
    assert handle.get(PATIENCE) == 2


def test_a_chained_task_starts_when_its_delay_is_over(workers: Workers) -> None:
    workers.start("--threads", "1")
    first = tasks.square.delay(3)
    second = first.chain(tasks.square.using(delay=1))

    assert second.get(PATIENCE) == 81

    first.refresh_from_db()
    waited = second.started - first.finished
    assert waited.total_seconds() >= 1
    assert second.run_after <= second.started
