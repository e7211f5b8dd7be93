"""cq."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from cq import task
from peers import work
from peers.models import Written
from peers.system import System, count, django

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cq.models import Task


@task
def noop(cqt: Any, number: int) -> int:
    return number


@task
def write(cqt: Any, number: int) -> int:
    # It is atomic already.
    Written.objects.create(number=number)
    return number


@task
def slow(cqt: Any, number: int) -> int:
    return work.slow(number)


@task
def stamp(cqt: Any, number: int) -> int:
    return work.stamp(number)


@task
def parent(cqt: Any, children: int) -> None:
    for number in range(children):
        cqt.subtask(noop, number)


TASKS = {"noop": noop, "write": write, "slow": slow, "stamp": stamp}


class Cq(System):
    fans_out = True
    children = 100_000
    writing = 0.15
    table = "cq_tasks"

    def enqueue(self, name: str, number: int) -> Task:
        return TASKS[name].delay(number)

    def enqueue_many(self, name: str, numbers: Iterable[int]) -> None:
        TASKS[name].delay_many([(number,) for number in numbers])

    def workers(self, processes: int, threads: int | None = None) -> list[list[str]]:
        # Two: measured to be the best for tasks that never wait. The default is four.
        counts = ["--processes", str(processes), "--threads", str(threads or 2)]
        return [django("cqworker", *counts)]

    def slots(self, count: int) -> tuple[int, int]:
        # On two cores a process for each, then threads: measured to be the better way.
        return min(count, 2), max(1, count // 2)

    def finished(self) -> int:
        return count("SELECT count(*) FROM cq_tasks WHERE finished IS NOT NULL")

    def result(self, handle: Task) -> None:
        handle.wait(60)

    def fan_out(self, children: int) -> None:
        with transaction.atomic():
            parent.delay(children).chain(stamp, children)


SYSTEM = Cq()
