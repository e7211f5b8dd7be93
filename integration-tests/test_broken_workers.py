"""What a task, or a fault of the worker itself, does to a process that runs tasks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from floor import tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Task, Worker

if TYPE_CHECKING:
    from processes import Workers


def test_row_30_a_task_that_raises_anything_is_a_failure_and_the_next_runs(
    workers: Workers,
) -> None:
    worker = workers.start("--threads", "1")
    process = tasks.process_id.delay().get(PATIENCE)
    for function in (tasks.ends_itself, tasks.ends_its_loop):
        for how in ("exit", "interrupt", "base"):
            handle = function.delay(how).wait(PATIENCE)
            assert (handle.status, handle.error) == (Task.STATUS_FAILURE, how)
            assert handle.losses == 0
    closes = tasks.ends_itself.delay("close").wait(PATIENCE)
    assert closes.status == Task.STATUS_COMPLETE
    assert tasks.process_id.delay().get(PATIENCE) == process, worker.output
    assert tasks.asquare.delay(7).get(PATIENCE) == 49


def test_row_30_a_task_that_ends_its_process_is_lost_and_the_next_runs(
    workers: Workers,
) -> None:
    worker = workers.start("--threads", "1")
    handle = tasks.ends_itself.delay("_exit").wait(PATIENCE)
    assert (handle.status, handle.losses) == (Task.STATUS_LOST, 1)
    assert "exited with code 3" in handle.error
    assert tasks.square.delay(3).get(PATIENCE) == 9
    assert worker.popen.poll() is None


def test_row_31_time_zone_and_language_end_with_the_task(workers: Workers) -> None:
    workers.start("--threads", "1")
    before = tasks.reads_its_context.delay().get(PATIENCE)
    tasks.sets_its_context.delay().get(PATIENCE)
    assert tasks.reads_its_context.delay().get(PATIENCE) == before


def test_row_31_the_next_task_finds_nothing_of_what_one_left_behind(
    workers: Workers, backend: str
) -> None:
    worker = workers.start("--threads", "1")
    leaker = tasks.leaves_traces.delay()
    leaker.get(PATIENCE)
    assert not any(tasks.finds_traces.delay().get(PATIENCE))
    assert f"floor.tasks.leaves_traces {leaker.pk}" in worker.output
    assert "changed the working directory" in worker.output
    assert "changed CQ_LEFT_BEHIND in the environment" in worker.output
    assert "a secret" not in worker.output
    if backend != "sqlite":
        assert "changed its session of 'default' beyond" in worker.output
        assert worker.output.count("changed its session") == 1


@pytest.mark.parametrize("name", ["cq-claimer", "cq-maintenance"])
def test_row_32_a_process_that_has_lost_a_thread_of_its_own_is_replaced(
    workers: Workers, name: str
) -> None:
    worker = workers.start("--threads", "1")
    (first,) = Worker.objects.filter(kind="worker").values_list("pid", flat=True)
    tasks.breaks_its_worker.delay(name)
    worker.wait_for_output("exited with code 70")
    assert f"the thread {name} has died" in worker.output
    assert tasks.process_id.delay().get(PATIENCE) != first


def test_row_32_a_task_that_closes_the_standard_streams_stops_no_other(
    workers: Workers,
) -> None:
    worker = workers.start("--threads", "1")
    process = tasks.closes_its_streams.delay().get(PATIENCE)
    # Logged as an error, and there is nowhere to write to.
    assert tasks.fails.delay().wait(PATIENCE).status == Task.STATUS_FAILURE
    assert tasks.square.delay(3).get(PATIENCE) == 9
    # Its process has no log any more, and another takes its place.
    worker.wait_for_output("closed sys.stdout")
    until(lambda: tasks.process_id.delay().get(PATIENCE) != process, "another process")
    assert worker.popen.poll() is None


def test_row_21_the_row_tells_what_killed_its_process_and_how_large_that_was(
    workers: Workers,
) -> None:
    workers.start("--threads", "1")
    handle = tasks.lasting_effect.delay(1, 3600)
    until(lambda: Effect.objects.exists(), "its effect")
    (pid,) = Worker.objects.filter(kind="worker").values_list("pid", flat=True)
    # As the OOM killer does it.
    os.kill(pid, signal.SIGKILL)
    assert handle.wait(PATIENCE).status == Task.STATUS_LOST
    assert "was killed by SIGKILL (by hand, or for want of memory)" in handle.error
    assert re.search(r"memory last seen: [1-9]\d* MiB", handle.error)


def sockets(pid: int) -> set[str]:
    """The sockets that a process has open, by what the kernel calls each."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(link))
    return {name for name in found if name.startswith("socket:")}


def test_row_26_processes_of_a_worker_share_no_socket(workers: Workers) -> None:
    worker = workers.start("--processes", "4", "--threads", "2")
    handles = tasks.process_id.delay_many([()] * 400)
    for handle in handles:
        assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    pids = list(Worker.objects.filter(kind="worker").values_list("pid", flat=True))
    assert len(pids) == 4
    seen: set[str] = set()
    for pid in [worker.popen.pid, *pids]:
        mine = sockets(pid)
        assert mine
        assert not mine & seen
        seen |= mine
