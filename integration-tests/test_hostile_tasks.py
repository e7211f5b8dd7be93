"""Whatever a task does to its process, the worker lives and the next task is clean."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest
from floor import tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Task, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Workers


def test_row_30_whatever_a_task_raises_or_closes_the_next_one_runs(
    workers: Workers,
) -> None:
    # One thread: it must outlive them all.
    worker = workers.start("--threads", "1")
    ends = {
        "SystemExit": ("FAILURE", "SystemExit"),
        "Interrupt": ("FAILURE", "KeyboardInterrupt"),
        "Odd": ("FAILURE", "floor.tasks.Odd"),
        "closes its connection": ("COMPLETE", None),
        "breaks its connection": ("COMPLETE", None),
    }
    for how, expected in ends.items():
        handle = tasks.leaves_its_process.delay(how).wait(PATIENCE)
        assert (handle.status, handle.exception) == expected, how
        assert tasks.effect.delay(1).get(PATIENCE) == 1, how
    assert "another process starts" not in worker.output


def test_row_30_a_task_that_exits_its_process_is_lost_and_the_next_one_runs(
    workers: Workers,
) -> None:
    worker = workers.start("--threads", "1")
    handle = tasks.leaves_its_process.delay("os._exit").wait(PATIENCE)
    assert handle.status == Task.STATUS_LOST
    assert "exited with code 3" in handle.error
    assert tasks.square.delay(3).get(PATIENCE) == 9
    assert worker.popen.poll() is None


@pytest.mark.parametrize("name", ["cq-claimer", "cq-completer"])
def test_a_child_of_which_a_thread_has_died_is_replaced(
    workers: Workers, name: str
) -> None:
    worker = workers.start("--threads", "2")
    (before,) = Worker.objects.values_list("pk", flat=True)
    tasks.ends_a_thread.delay(name)
    # Each of the threads has something to do, and so comes to know.
    handles = [tasks.square.delay(n) for n in range(8)]

    until(lambda: f"the thread {name} has died" in worker.output, "the notice")
    until(lambda: "exited with code 70" in worker.output, "the end of the child")
    until(lambda: Worker.objects.exclude(pk=before).exists(), "another child")
    assert [handle.get(PATIENCE) for handle in handles] == [n * n for n in range(8)]
    assert worker.terminate() == 0, worker.output


@pytest.mark.backend("postgres", "valkey")
def test_row_32_without_descriptors_nothing_is_claimed_and_health_says_so(
    workers: Workers, tmp_path: Path
) -> None:
    path = tmp_path / "healthy"
    worker = workers.start("--threads", "2", "--health-file", str(path))
    assert tasks.square.delay(2).get(PATIENCE) == 4
    (child,) = Worker.objects.values_list("pid", flat=True)
    _, most = resource.prlimit(child, resource.RLIMIT_NOFILE)
    in_use = len(os.listdir(f"/proc/{child}/fd"))
    resource.prlimit(child, resource.RLIMIT_NOFILE, (in_use, most))
    until(lambda: "nothing is claimed" in worker.output, "the notice")
    handle = tasks.effect.delay(1)
    until(lambda: not _is_touched(path), "the end of the touching")

    handle.refresh_from_db()
    assert (handle.status, handle.losses) == (Task.STATUS_QUEUED, 0)
    assert not Effect.objects.exists()
    # No crash, and so no loop of crashes.
    assert list(Worker.objects.values_list("pid", flat=True)) == [child]
    resource.prlimit(child, resource.RLIMIT_NOFILE, (most, most))
    assert handle.get(PATIENCE) == 1
    until(path.exists, "the health file")


def _is_touched(path: Path) -> bool:
    """Whether a file that was removed is back after a few heartbeats."""
    path.unlink(missing_ok=True)
    for _ in range(3):
        beaten = Worker.objects.get().last_seen
        later = Worker.objects.filter(last_seen__gt=beaten)
        until(later.exists, "a heartbeat")
    return path.exists()
