"""What somebody asks of a real worker by its row, as the admin does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from beginnings import until_begun
from floor import endless, tasks
from floor.models import Effect
from processes import PATIENCE, lives, until

from cq.models import Stack, Task, Worker
from cq.tables.worker_rows import Request
from cq.workers import requests

if TYPE_CHECKING:
    from processes import Workers


def until_running(handle: Task) -> Worker:
    """Wait for the start of a task; return who runs it."""

    def worker() -> Worker | None:
        row = Task.objects.get(pk=handle.pk)
        return row.worker if row.status == Task.STATUS_RUNNING else None  # type: ignore[return-value]

    found: Worker = until(worker, "the start of the task")
    return found


def test_one_that_is_quiet_claims_nothing_until_another_takes_its_place(
    workers: Workers,
) -> None:
    workers.start("--processes", "1", "--threads", "2")
    runs = tasks.waits_for.delay(1)
    worker = until_running(runs)
    until_begun(runs)
    assert (worker.answers[:2], worker.versions["cq"][0]) == (["quiet", "restart"], "1")

    def says(state: str) -> bool:
        found = Worker.objects.filter(pk=worker.pk).values_list("state", "asked")
        return list(found) == [(state, None)]

    waits = None
    for _ in range(3):  # the last two are heartbeats in which it could have claimed
        assert requests.ask("default", worker.pk, Request.QUIET)
        until(lambda: says("quiet"), "its word that it is quiet")
        waits = waits or tasks.waits_for.delay(2)
    assert waits is not None
    assert Task.objects.get(pk=waits.pk).status == Task.STATUS_QUEUED

    assert requests.ask("default", worker.pk, Request.RESTART)
    until(lambda: says("draining"), "its word that it drains")
    assert until_running(waits).pid != worker.pid
    assert Task.objects.get(pk=runs.pk).worker_id == worker.pk
    assert lives(worker.pid)
    # What it runs has all the time that it takes.
    Effect.objects.bulk_create([Effect(key=1), Effect(key=2)])
    assert runs.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert waits.wait(PATIENCE).losses == 0
    until(lambda: not lives(worker.pid), "its end")


def test_where_each_task_is_is_told_whatever_it_does(workers: Workers) -> None:
    workers.start("--processes", "1", "--threads", "4")
    handles = {}

    def starts(function: Any, seconds: int = 1) -> Worker:
        handles[function.name] = function.delay(seconds)
        return until_running(handles[function.name])

    def told(function: Any, innermost: str) -> None:
        """Ask until there is a stack of it; look at both of its ends."""

        def taken() -> Stack | None:
            # Again: it may have been claimed, and its function not called yet.
            requests.ask("default", worker.pk, Request.STACK)
            return Stack.objects.filter(pk=handles[function.name].pk).first()

        stack = until(taken, "its stack")
        frames = stack.text.split('  File "')[1:]
        assert f"in {function.name.rpartition('.')[2]}\n" in frames[0], stack.text
        assert re.search(innermost, frames[-1]), stack.text
        assert stack.worker == worker.address

    for function in (endless.spins_openly, endless.counts, endless.awaits_deeper):
        worker = starts(function)
    told(endless.spins_openly, r"in spin\n")
    told(endless.counts, r"in counts\n")
    told(endless.awaits_deeper, r"asyncio.gather\(")

    Stack.objects.all().delete()
    starts(endless.keeps_the_loop)  # no other coroutine from now on
    told(endless.keeps_the_loop, r"in spin\n")
    told(endless.awaits_deeper, r"asyncio.gather\(")

    Stack.objects.all().delete()
    starts(tasks.holds_the_gil, 3600)  # no Python code from now on
    told(tasks.holds_the_gil, r"in holds_the_gil\n.*\.sleep\(")
    told(endless.counts, r"in counts\n")
    # The signal shows threads only.
    shared = Stack.objects.get(pk=handles[endless.awaits_deeper.name].pk).text
    assert shared.startswith("The thread of an event loop that runs 2 tasks"), shared

    # None was disturbed.
    rows = Task.objects.filter(pk__in=[handle.pk for handle in handles.values()])
    assert set(rows.values_list("status", "losses")) == {(Task.STATUS_RUNNING, 0)}
    assert lives(worker.pid)
