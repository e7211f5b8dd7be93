"""What the backends of Django's Tasks have in common."""

from __future__ import annotations

import time
from typing import Any

from django.tasks import task

from peers import work
from peers.system import System


@task
def noop(number: int) -> int:
    return work.noop(number)


@task
def write(number: int) -> int:
    return work.write(number)


@task
def slow(number: int) -> int:
    return work.slow(number)


@task
def stamp(number: int) -> int:
    return work.stamp(number)


TASKS: dict[str, Any] = {"noop": noop, "write": write, "slow": slow, "stamp": stamp}


class TasksBackend(System):
    def enqueue(self, name: str, number: int) -> Any:
        return TASKS[name].enqueue(number)

    def result(self, handle: Any) -> None:
        # They have nothing to wait by.
        while not handle.is_finished:
            time.sleep(0.005)
            handle.refresh()
