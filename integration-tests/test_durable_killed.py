"""Durable tasks whose workers die: at every statement, and again and again."""

from __future__ import annotations

import json
import os
import random
import sys
from typing import TYPE_CHECKING, Any

import pytest
from floor import steps
from floor.models import Effect, Stay
from processes import PATIENCE, until

from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from processes import Workers


def ends(workers: Workers, *numbers: int) -> list[dict[str, Any]]:
    """Return what came of each order, wherever its process was killed."""
    program = workers.program(
        sys.executable, "killed_steps.py", *[str(number) for number in numbers]
    )
    code = program.popen.wait(20 * PATIENCE)
    assert code == 0, program.output
    lines = program.output.splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"at"')]


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


@pytest.mark.backend("postgres", "valkey")
def test_a_backfill_whose_workers_are_killed_does_each_row_once(
    workers: Workers,
) -> None:
    rows = 20_000
    Stay.objects.bulk_create(
        Stay(key="backfill", came="2026-01-01T00:00:00Z") for _ in range(rows)
    )
    handle = steps.backfill.delay("backfill", 100)
    done = Stay.objects.filter(key="backfill", processes__gt=0)
    for part in range(1, 6):
        process = workers.start("--queues", "backfills")
        until(lambda p=part: done.count() >= p * 2000, f"part {part}")
        process.kill()
    workers.start("--queues", "backfills")
    assert handle.get(PATIENCE) == rows
    assert set(
        Stay.objects.filter(key="backfill").values_list("processes", flat=True)
    ) == {1}
    assert Task.objects.get(pk=handle.pk).losses < 3


def test_an_orderly_stop_costs_nothing(workers: Workers) -> None:
    count = 60
    handle = steps.goes_on.delay(7, count)
    effects = Effect.objects.filter(key__range=(700, 799))
    for part in (5, 15, 30):
        process = workers.start("--drain", "5")
        until(lambda p=part: effects.count() >= p, f"step {part}")
        assert process.terminate() == 0
        task = Task.objects.get(pk=handle.pk)
        assert (task.status, task.attempts, task.losses) == (Status.QUEUED, 0, 0)
    workers.start()
    assert handle.get(PATIENCE) == count
    assert sorted(effects.values_list("key", flat=True)) == [
        700 + n for n in range(count)
    ]
    assert Task.objects.get(pk=handle.pk).attempts == 1
