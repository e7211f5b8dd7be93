"""Durable tasks whose workers die: at every statement, and again and again."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from beginnings import let_go, until_begun
from django.db.models import Count
from floor import steps
from floor.models import Effect, Stay
from processes import PATIENCE, until

from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from processes import Process, Workers


def ends(workers: Workers, *numbers: int) -> list[dict[str, Any]]:
    """Return what came of each order, wherever its process was killed."""
    program = workers.program(
        sys.executable, "killed_steps.py", *[str(number) for number in numbers]
    )
    code = program.popen.wait(20 * PATIENCE)
    assert code == 0, program.output
    lines = program.output.splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"at"')]


def fresh(handle: Task) -> Task:
    return Task.objects.get(pk=handle.pk)


#: All statements, which takes ten minutes: see CONTRIBUTING.md.
ALL = bool(os.environ.get("CQ_TEST_KILLS"))


def test_killed_at_any_statement_each_thing_is_done_once(workers: Workers) -> None:
    apart = 1 if ALL else 17
    every = ends(workers, random.randint(1, apart), apart, 400)

    assert not every[-1]["killed"], "there are more statements"
    assert len(every) > 120 // apart
    for end in every:
        assert end["status"] == Status.COMPLETE, end
        assert end["effects"] == end["wanted"], end
        assert end["rows"] == [1] * steps.ROWS, end
        assert end["children"] == [Status.COMPLETE] * steps.PARCELS, end
        assert end["taken"] == 1, end
        # charge, sleep, wait, items, two parcels, their results, rows, close
        assert end["steps"] == 9, end
        assert end["result"] == [
            steps.CHARGED,
            end["order"],
            [steps.PACKED + item for item in range(steps.PARCELS)],
            steps.ROWS,
            steps.CLOSED,
        ], end


# On SQLite its lock says that a frozen process lives, and nobody takes its tasks.
@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_frozen_for_longer_than_its_lease_each_thing_is_done_once(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CQ_TEST_LEASE", "1")
    orders = {1: "within", 2: "between"}
    handles = [steps.freezes.delay(*order) for order in orders.items()]
    first = workers.start("--threads", "2")
    until_begun(*handles)
    first.signal_group(signal.SIGSTOP)

    workers.start("--threads", "2")

    given = [handle.get(PATIENCE) for handle in handles]
    # It wakes with its functions where they were, and they have the rest before them.
    first.signal_group(signal.SIGCONT)
    let_go(*handles)
    assert first.terminate() == 0, first.output
    packed = [steps.PACKED + item for item in range(steps.PARCELS)]
    for order, handle, result in zip(orders, handles, given, strict=True):
        assert result == [steps.CHARGED, packed, steps.CLOSED]
        of_it = Effect.objects.filter(key__range=(order * 100, order * 100 + 99))
        assert sorted(of_it.values_list("key", flat=True)) == steps.wanted_keys(order)
        task = Task.objects.get(pk=handle.pk)
        assert (task.status, task.result) == (Status.COMPLETE, result)
        assert task.subtasks.count() == steps.PARCELS


#: Rows of the backfill. Of a million a worker is killed every five seconds: see
#: CONTRIBUTING.md.
ROWS = int(os.environ.get("CQ_TEST_ROWS", "20000"))
LARGE = ROWS > 100_000


def test_a_backfill_whose_workers_are_killed_and_replaced_does_each_row_once(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CQ_TEST_LEASE", "1")
    made = [Stay(key="backfill", came="2026-01-01T00:00:00Z") for _ in range(ROWS)]
    Stay.objects.bulk_create(made, batch_size=10_000)
    handle = steps.backfill.delay("backfill", 20 if LARGE else 50)
    rows = Stay.objects.filter(key="backfill")

    def started() -> Process:
        flags = ("--queues", "backfills")
        if LARGE:
            return workers.start(*flags)
        # In a third of the time of a worker with processes of its own.
        return workers.command("cq", "run", "--loop", *flags)

    def lasts() -> bool:
        """Leave its worker alone until it is further, and for its time."""
        before = rows.filter(processes__gt=0).count()
        until(
            lambda: before == ROWS or rows.filter(processes__gt=0).count() > before,
            f"more rows than {before}",
        )
        time.sleep(5 if LARGE else 0)
        return fresh(handle).status != Status.COMPLETE

    kills = deploys = 0
    worker = started()
    while (LARGE or deploys < 2) and lasts():
        if kills <= 2 * deploys or deploys == 10:
            kills += 1
            worker.kill()
        else:
            deploys += 1
            before = fresh(handle)
            assert worker.terminate() == 0, worker.output
            after = fresh(handle)
            if after.status != Status.COMPLETE:
                # It costs no try, and is no loss.
                assert after.status == Status.QUEUED
                assert (after.attempts, after.losses) == (before.attempts - 1, 0)
        worker = started()

    assert handle.get(PATIENCE) == ROWS
    assert kills >= deploys >= (10 if LARGE else 2)
    assert list(rows.values_list("processes").annotate(n=Count("pk"))) == [(1, ROWS)]
    assert fresh(handle).losses < 3


def test_an_orderly_stop_costs_nothing(workers: Workers) -> None:
    count = 20
    handle = steps.goes_on.delay(7, count)
    effects = Effect.objects.filter(key__range=(700, 799))
    process = workers.start("--drain", "5")
    until(lambda: effects.count() >= 5, "step 5")
    assert process.terminate() == 0
    task = fresh(handle)
    assert (task.status, task.attempts, task.losses) == (Status.QUEUED, 0, 0)
    workers.start()
    assert handle.get(PATIENCE) == count
    assert sorted(effects.values_list("key", flat=True)) == [
        700 + n for n in range(count)
    ]
    assert fresh(handle).attempts == 1
