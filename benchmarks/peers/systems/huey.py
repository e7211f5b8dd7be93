"""Huey on Redis, by its Django app."""

from __future__ import annotations

from typing import Any

from huey import chord
from huey.contrib.djhuey import HUEY

from peers import work
from peers.system import Command, System, django

TASKS = {name: HUEY.task(name=name)(function) for name, function in work.WORK.items()}


class Huey(System):
    fans_out = True

    def enqueue(self, name: str, number: int) -> Any:
        return TASKS[name](number)

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        workers = str(processes * (threads or 1))
        return [django("run_huey", "-k", "process", "-w", workers, "-q")]

    def finished(self) -> int:
        return int(HUEY.result_count())

    def result(self, handle: Any) -> None:
        handle.get(blocking=True, timeout=60)

    def fan_out(self, children: int) -> None:
        noops = [TASKS["noop"].s(number) for number in range(children)]
        HUEY.enqueue(chord(noops, TASKS["callback"].s()))


# The callback of a chord gets the list of all results.
TASKS["callback"] = HUEY.task(name="callback")(lambda results: work.stamp(len(results)))

SYSTEM = Huey()
