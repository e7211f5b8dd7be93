"""A durable task that is killed at each statement in turn: a program, that forks.

It prints a line of JSON for each: where it was killed, and what was there at the end.
The process ends by SIGKILL before the statement is sent, or once it has been executed; a
COMMIT is one of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

import django

#: The number of statements, at which none is sent any more.
NEVER = 10**9


def main(first: int, every: int, most: int) -> None:
    """Kill at the statements `first`, `first + every` and so on, before and behind each."""
    number, order = first, first * 10
    while number < most:
        for side in ("before", "behind"):
            order += 1
            killed = _in_a_child(lambda o=order, n=number, s=side: _run(o, n, s))
            _in_a_child(lambda o=order: _finish(o))
            _in_a_child(lambda o=order, n=number, s=side, k=killed: _tell(o, n, s, k))
        if not killed:
            return  # there are no more statements
        number += every


def _in_a_child(function: Any) -> bool:
    """Call a function in a process of its own; whether that was killed."""
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return True
        if status:
            raise SystemExit(f"a process ended with {status}")
        return False
    try:
        function()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _run(order: int, number: int, side: str) -> None:
    """Record the task with what it needs, then run it until the process is killed."""
    from django.db import connection
    from floor import steps
    from floor.models import Stay

    Stay.objects.bulk_create(
        Stay(key=f"order {order}", came="2026-01-01T00:00:00Z")
        for _ in range(steps.ROWS)
    )
    steps.fulfil.delay(order).send("approval", order)
    connection.ensure_connection()
    killer = Killer(number, side)
    commit = connection._commit
    connection._commit = lambda: killer.around(commit)
    with connection.execute_wrapper(
        lambda execute, *given: killer.around(lambda: execute(*given))
    ):
        _serve()


class Killer:
    """The end of this process at one statement."""

    def __init__(self, number: int, side: str) -> None:
        self.number, self.side, self.count = number, side, 0
        self.thread = threading.get_ident()

    def around(self, execute: Any) -> Any:
        if threading.get_ident() != self.thread:
            return execute()
        self.count += 1
        if self.count == self.number and self.side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        value = execute()
        if self.count == self.number:
            os.kill(os.getpid(), signal.SIGKILL)
        return value


def _serve() -> None:
    from cq.execution.serve import serve

    serve("default", threading.Event(), once=True)


def _finish(order: int) -> None:
    """Rescue what the dead process held, as its supervisor does, and run the rest."""
    from cq.maintenance import sweep
    from cq.maintenance.rescue import rescue
    from cq.models import Task

    running = Task.objects.filter(status="RUNNING")
    for worker in set(running.values_list("worker_id", flat=True)):
        rescue("default", worker, "it was killed")
    sweep.wake_forgotten("default")
    _serve()


def _tell(order: int, number: int, side: str, killed: bool) -> None:
    from floor import steps
    from floor.models import Effect, Stay

    from cq.models import Message, Step, Task

    handles = Task.objects.filter(name=steps.fulfil.name)
    [task] = [t for t in handles if t.args == (order,)]
    keys = Effect.objects.filter(key__range=(order * 100, order * 100 + 99))
    rows = Stay.objects.filter(key=f"order {order}")
    print(
        json.dumps(
            {
                "at": f"{side} {number}",
                "killed": killed,
                "status": str(task.status),
                "result": task.result,
                "attempts": task.attempts,
                "effects": sorted(keys.values_list("key", flat=True)),
                "wanted": sorted(steps.wanted_keys(order)),
                "rows": list(rows.values_list("processes", flat=True)),
                "children": sorted(
                    str(s) for s in task.subtasks.values_list("status", flat=True)
                ),
                "taken": Message.objects.filter(
                    task=task.pk, taken_by__isnull=False
                ).count(),
                "steps": Step.objects.filter(task=task.pk)
                .exclude(kind="value")
                .count(),
                "order": order,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    django.setup()
    main(*map(int, sys.argv[1:]))
