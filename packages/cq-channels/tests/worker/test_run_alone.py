"""What has ended workers waits until nothing else runs, but not for ever."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cq.lifecycle import claim_of
from cq.models import Task
from cq_channels.worker.in_flight import InFlight
from cq_channels.worker.poison import MAX_WAIT_ALONE_SECONDS, RunAlone, fewest_losses


class Bench:
    """Tasks of one process, by a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.in_flight = InFlight()
        self.run_alone = RunAlone(self.in_flight, lambda: self.now)

    def claim(self) -> Any:
        task = Task(pk=uuid.uuid4(), fence=1, worker_id=11)
        self.in_flight.add([claim_of(task)])
        return task

    def end(self, task: Any) -> None:
        self.in_flight.drop(claim_of(task))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_row_28_it_runs_when_all_else_has_ended_and_nothing_is_claimed_meanwhile(
    bench: Bench,
) -> None:
    others = [bench.claim(), bench.claim()]
    suspects = [bench.claim(), bench.claim()]
    for task in suspects:
        bench.run_alone.put(task)

    for other in others:
        assert bench.run_alone.next() is None
        assert bench.run_alone.excludes
        bench.end(other)
    for task in suspects:
        assert bench.run_alone.next() is task
        assert bench.run_alone.next() is None
        assert bench.run_alone.excludes
        bench.end(task)
    assert bench.run_alone.next() is None
    assert not bench.run_alone.busy
    assert not bench.run_alone.excludes


def test_row_28_who_runs_on_and_on_is_not_waited_for(bench: Bench) -> None:
    bench.claim()
    ends = bench.claim()
    suspect = bench.claim()
    bench.run_alone.put(suspect)
    bench.now += MAX_WAIT_ALONE_SECONDS - 1
    bench.end(ends)
    assert bench.run_alone.next() is None
    bench.now += MAX_WAIT_ALONE_SECONDS - 1
    # Something has ended since.
    assert bench.run_alone.next() is None
    bench.now += 1
    assert bench.run_alone.next() is suspect


def test_row_28_who_runs_alone_on_and_on_holds_up_nobody(bench: Bench) -> None:
    suspect = bench.claim()
    bench.run_alone.put(suspect)
    assert bench.run_alone.next() is suspect
    bench.now += MAX_WAIT_ALONE_SECONDS
    assert bench.run_alone.next() is None
    assert not bench.run_alone.excludes
    # Another of its kind is spared for as long.
    other = bench.claim()
    bench.run_alone.put(other)
    assert bench.run_alone.excludes
    assert bench.run_alone.next() is None
    bench.now += MAX_WAIT_ALONE_SECONDS
    assert bench.run_alone.next() is other


def test_what_has_not_started_is_taken_back(bench: Bench) -> None:
    running, waiting = bench.claim(), bench.claim()
    bench.run_alone.put(running)
    bench.end(waiting)
    assert bench.run_alone.next() is running
    bench.run_alone.put(waiting)
    assert bench.run_alone.take_back() == [waiting]
    assert bench.run_alone.take_back() == []


@pytest.mark.parametrize(("most", "fewest"), [(1, 1), (2, 1), (3, 2), (10, 9)])
def test_a_task_that_never_lost_a_worker_is_never_set_aside(
    most: int, fewest: int, settings: Any
) -> None:
    settings.CQ_MAX_LOSSES = most
    assert fewest_losses() == fewest
