"""Stock ``manage.py runworker cq-tasks`` drives the same engine."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from floor import tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Task, Worker

if TYPE_CHECKING:
    from processes import Workers

pytestmark = pytest.mark.backend("valkey")

#: A shell without job control has it ignore SIGINT, by which runworker ends.
BACKGROUND = "{} -m django runworker cq-tasks --settings channels_settings & wait $!"


def test_it_runs_tasks_and_ends_with_0(workers: Workers) -> None:
    process = workers.command(
        "runworker", "cq-tasks", "--settings", "channels_settings"
    )
    # It begins with the first message; one sent before it listens is lost.
    until(_a_worker_is_there, "the engine's start")
    effects = tasks.effect.delay_many([(key,) for key in range(50)])
    parent = tasks.sum_of_squares.delay(20)

    assert parent.get(PATIENCE) == sum(i * i for i in range(20))
    for effect in effects:
        assert effect.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert Effect.objects.count() == 50
    assert process.terminate() == 0
    assert not Worker.objects.exists()


def test_it_ends_where_a_shell_has_started_it_in_the_background(
    workers: Workers,
) -> None:
    process = workers.program("sh", "-c", BACKGROUND.format(sys.executable))
    until(_a_worker_is_there, "the engine's start")
    [worker] = Worker.objects.all()
    os.kill(worker.pid, signal.SIGTERM)
    assert process.popen.wait(PATIENCE) == 0, process.output


def _a_worker_is_there() -> bool:
    tasks.noop.delay()
    return Worker.objects.exists()
