"""From the death of a process to the moment when all that it ran runs again."""

from __future__ import annotations

import itertools
import os
import random
import signal
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from cq.models import Task, Worker
from cqbench import tasks
from cqbench.processes import tree
from cqbench.workers import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

KILLS, QUICK = 20, 2
#: Workers that die in one go, and the tasks that each of them runs then.
VICTIMS, HELD = 5, 2
#: Children that die under one worker: it puts off the start of the next one, the later
#: the more have died soon after their own.
DEATHS = 2
#: Seconds from one kill to the next, at random: not in step with beats and sweeps.
PAUSE = (0.2, 2.0)


def measure(quick: bool) -> dict[str, float]:
    kills = QUICK if quick else KILLS
    found = {
        "child": children(kills),
        "worker": whole_workers(kills),
        # As behind a pooler between transactions: no lock tells of the dead.
        "silent": whole_workers(kills, CQ_BENCH_POOLED="1"),
    }
    values: dict[str, float] = {}
    for kind, seconds in found.items():
        values |= {kind: median(seconds), f"{kind}_max": max(seconds)}
    return values


def children(kills: int) -> list[float]:
    """Kill one of two processes that run tasks; their supervisor sees them die.

    The other one has no thread to spare: a new one has to start.
    """
    seconds: list[float] = []
    while len(seconds) < kills:
        with worker("--processes", "2", "--threads", str(HELD)) as process:
            for _ in range(min(DEATHS, kills - len(seconds))):
                seconds.append(_kill_child(process))
    return seconds


def _kill_child(process: WorkerProcess) -> float:
    with holding(2 * HELD) as held:
        process.until(held.all_run, "the start of the tasks")
        mine = Worker.objects.filter(kind="worker", pid__in=tree(process.pid))
        # One of them may have claimed all, ahead of the other's threads.
        busy = [(one.pid, hit) for one in mine if (hit := held.fences(one.pk))]
        victim, hit = random.choice(busy)
        time.sleep(random.uniform(*PAUSE))
        began = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        process.until(partial(again, hit), "the tasks' next run")
        seconds = time.monotonic() - began
    process.until_settled(held.handles[-1])
    return seconds


def whole_workers(kills: int, **environment: str) -> list[float]:
    """Kill supervisors and their processes at once; another worker is there."""
    seconds: list[float] = []
    while len(seconds) < kills:
        seconds += _round(min(VICTIMS, kills - len(seconds)), environment)
    return seconds


def _round(count: int, environment: dict[str, str]) -> list[float]:
    flags = ("--threads", str(HELD), "--no-scheduler", "--queues")
    names = [f"bench{number}" for number in range(count)]
    with ExitStack() as stack:
        output = stack.enter_context(tempfile.TemporaryFile("w+"))
        victims = [WorkerProcess(output, *flags, n, **environment) for n in names]
        for victim in victims:
            stack.callback(victim.kill)
        held = [stack.enter_context(holding(HELD, name)) for name in names]
        for victim, tasks_of_it in zip(victims, held, strict=True):
            victim.until(tasks_of_it.all_run, "the start of the tasks")
        # Last, or it would have taken some of them.
        rest = WorkerProcess(
            output,
            "--threads",
            str(count * HELD),
            "--queues",
            ",".join(names),
            **environment,
        )
        stack.callback(rest.stop)
        rest.until(rest.is_there, "the worker that is left")
        hits = [tasks_of_it.fences() for tasks_of_it in held]
        seconds = _killed_in_turn(rest, victims, hits)
    return seconds


def _killed_in_turn(
    rest: WorkerProcess, victims: list[WorkerProcess], hits: list[dict[UUID, int]]
) -> list[float]:
    """Kill each at a moment of its own; how long each one's tasks took to run again."""
    pauses = [random.uniform(*PAUSE) for _ in victims]
    due = [time.monotonic() + until for until in itertools.accumulate(pauses)]
    began: dict[int, float] = {}
    took: dict[int, float] = {}

    def look() -> bool:
        # At all of them: the first may be back before the last is killed.
        for number, victim in enumerate(victims):
            now = time.monotonic()
            if number in began:
                if number not in took and again(hits[number]):
                    took[number] = time.monotonic() - began[number]
            elif now >= due[number]:
                began[number] = now
                victim.kill()
        return len(took) == len(victims)

    rest.until(look, "the tasks' next run")
    return [took[number] for number in range(len(victims))]


def again(fences: dict[UUID, int]) -> bool:
    """Whether all these claims were given to somebody else, who runs their tasks."""
    rows = Task.objects.filter(pk__in=fences, status=Task.STATUS_RUNNING).order_by()
    found = dict(rows.values_list("pk", "fence"))
    return all(found.get(pk, fence) > fence for pk, fence in fences.items())


@contextmanager
def holding(count: int, queue: str = "default") -> Iterator[Held]:
    """Tasks that run until the end of the ``with`` block."""
    with tempfile.NamedTemporaryFile(prefix="cq-bench-") as file:
        call = tasks.hold.using(queue=queue)
        yield Held([call.delay(file.name) for _ in range(count)])


@dataclass(frozen=True)
class Held:
    handles: list[Task]

    def fences(self, worker: int | None = None) -> dict[UUID, int]:
        """Return the fences of those that run, on one worker or anywhere."""
        ids = [handle.pk for handle in self.handles]
        rows = Task.objects.filter(pk__in=ids, status=Task.STATUS_RUNNING).order_by()
        if worker is not None:
            rows = rows.filter(worker=worker)
        return dict(rows.values_list("pk", "fence"))

    def all_run(self) -> bool:
        return len(self.fences()) == len(self.handles)
