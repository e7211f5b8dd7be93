"""The process of one side: it plays a turn when it is told to, and is idle otherwise.

A line of stdin names the kind and the count; a line of stdout, as JSON, has the seconds
that it took, and those of CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.db import connection, transaction

from cqbench.processes import cpu_clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from cqbench.workers import WorkerProcess

#: Seconds between two looks for the end of a drain, which is half a second of work.
LOOK = 0.003
TABLES = ("cq_tasks", "cq_attempts", "cq_steps", "cqbench_written")


class Player:
    """What can be played on this side's tables; the drains by its worker."""

    def __init__(self, worker: WorkerProcess | None) -> None:
        from cqbench import tasks

        self._worker = worker
        # Not each version has all of them.
        there = connection.introspection.table_names()
        self._tables = [table for table in TABLES if table in there]
        if "CQ_BENCH_HOOKS" in os.environ:
            from cqbench import hooks

            hooks.REQUEST_ID.set("01a22773-7274-7146-8a87-d34c3591bb3a")
        self.kinds: dict[str, Callable[[int], tuple[float, float]]] = {
            "noop": lambda count: self._drain(tasks.noop, count),
            "write": lambda count: self._drain(tasks.write, count),
            "delay": lambda count: _timed(tasks.noop.delay, count),
            "rows": lambda count: _timed(_write_row, count),
            "workflow": self._workflows,
            "rest": self._rest,
        }

    def empty(self) -> None:
        """Start as each turn does: without a task, and without a row."""
        with connection.cursor() as cursor:
            for table in self._tables:
                if connection.vendor == "sqlite":
                    cursor.execute(f"DELETE FROM {table}")
                else:
                    cursor.execute(f"TRUNCATE {table}")
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _drain(self, task: Any, count: int) -> tuple[float, float]:
        """Time tasks that are committed at once, from the commit to the last one's end."""
        from cq.models import Task

        assert self._worker is not None
        contexts = callers()
        with transaction.atomic():
            for number, context in enumerate(contexts):
                with context:
                    calls = [(n,) for n in range(number, count, len(contexts))]
                    last = task.delay_many(calls)[-1]
            # Within the transaction, so that the worker sees none of them before.
            before = cpu_clock(self._worker.pid)
            began = time.perf_counter()
        same = Task.objects.filter(pk=last.pk, finished__isnull=False)
        self._worker.until(same.exists, "the last task's end", LOOK)
        left = Task.objects.filter(finished__isnull=True)
        self._worker.until(lambda: not left.exists(), "the end of all tasks", LOOK)
        took = time.perf_counter() - began
        return took, cpu_clock(self._worker.pid) - before

    def _workflows(self, count: int) -> tuple[float, float]:
        # Not each version has durable tasks.
        from cqbench import durable

        return self._drain(durable.workflow, count)

    def _rest(self, seconds: int) -> tuple[float, float]:
        """Let the worker be idle."""
        assert self._worker is not None
        before, began = cpu_clock(self._worker.pid), time.perf_counter()
        time.sleep(seconds)
        return time.perf_counter() - began, cpu_clock(self._worker.pid) - before


def tenant_names() -> list[str]:
    return getattr(settings, "BENCH_TENANTS", [])


def callers() -> list[AbstractContextManager[Any]]:
    """Return who calls the tasks of a turn, each a part of them: tenants, or just one."""
    names = tenant_names()
    if not names:
        return [nullcontext()]
    from django_tenants.utils import schema_context

    return [schema_context(name) for name in names]


def _timed(call: Callable[[int], Any], count: int) -> tuple[float, float]:
    before, began = time.process_time(), time.perf_counter()
    for number in range(count):
        call(number)
    return time.perf_counter() - began, time.process_time() - before


def _write_row(number: int) -> None:
    from cqbench.models import Written

    Written.objects.create(number=number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", action="store_true")
    options = parser.parse_args()
    django.setup()
    from cqbench.workers import worker

    if tenants := tenant_names():
        from cqbench.tenants.making import make_tenants

        make_tenants(tenants)
    with ExitStack() as stack:
        player = Player(stack.enter_context(worker()) if options.worker else None)
        for line in sys.stdin:
            kind, count = line.split()
            player.empty()
            print(json.dumps(player.kinds[kind](int(count))), flush=True)


if __name__ == "__main__":
    main()
