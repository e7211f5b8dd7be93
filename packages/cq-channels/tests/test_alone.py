"""What has ended workers waits until nothing else runs, but not for ever."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cq.models import Task
from cq_channels.alone import PATIENCE, Alone, fewest_losses
from cq_channels.held import Held, claim_of


class Bench:
    """Tasks of one process, by a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.held = Held()
        self.alone = Alone(self.held, lambda: self.now)

    def claim(self) -> Any:
        task = Task(pk=uuid.uuid4(), fence=1, worker_id=11)
        self.held.add([claim_of(task)])
        return task

    def end(self, task: Any) -> None:
        self.held.drop(claim_of(task))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_row_28_it_runs_when_all_else_has_ended_and_nothing_is_claimed_meanwhile(
    bench: Bench,
) -> None:
    others = [bench.claim(), bench.claim()]
    suspects = [bench.claim(), bench.claim()]
    for task in suspects:
        bench.alone.put(task)

    for other in others:
        assert bench.alone.next() is None
        assert bench.alone.excludes
        bench.end(other)
    for task in suspects:
        assert bench.alone.next() is task
        assert bench.alone.next() is None
        assert bench.alone.excludes
        bench.end(task)
    assert bench.alone.next() is None
    assert not bench.alone.busy
    assert not bench.alone.excludes


def test_row_28_who_runs_on_and_on_is_not_waited_for(bench: Bench) -> None:
    bench.claim()
    ends = bench.claim()
    suspect = bench.claim()
    bench.alone.put(suspect)
    bench.now += PATIENCE - 1
    bench.end(ends)
    assert bench.alone.next() is None
    bench.now += PATIENCE - 1
    # Something has ended since.
    assert bench.alone.next() is None
    bench.now += 1
    assert bench.alone.next() is suspect


def test_row_28_who_runs_alone_on_and_on_holds_up_nobody(bench: Bench) -> None:
    suspect = bench.claim()
    bench.alone.put(suspect)
    assert bench.alone.next() is suspect
    bench.now += PATIENCE
    assert bench.alone.next() is None
    assert not bench.alone.excludes
    # Another of its kind is spared for as long.
    other = bench.claim()
    bench.alone.put(other)
    assert bench.alone.excludes
    assert bench.alone.next() is None
    bench.now += PATIENCE
    assert bench.alone.next() is other


def test_what_has_not_started_is_taken_back(bench: Bench) -> None:
    running, waiting = bench.claim(), bench.claim()
    bench.alone.put(running)
    bench.end(waiting)
    assert bench.alone.next() is running
    bench.alone.put(waiting)
    assert bench.alone.take_back() == [waiting]
    assert bench.alone.take_back() == []


@pytest.mark.parametrize(("most", "fewest"), [(1, 1), (2, 1), (3, 2), (10, 9)])
def test_a_task_that_never_lost_a_worker_is_never_set_aside(
    most: int, fewest: int, settings: Any
) -> None:
    settings.CQ_MAX_LOSSES = most
    assert fewest_losses() == fewest
