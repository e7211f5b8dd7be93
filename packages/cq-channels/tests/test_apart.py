"""What may end processes is held back while one is missing, but not for long."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from cq_channels.apart import PATIENCE, Apart


def task() -> Any:
    return SimpleNamespace(losses=1)


class Bench:
    """A process by a clock that a test moves, and whether another one is missing."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.complete = False
        self.apart = Apart(lambda: self.complete, 3, lambda: self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_row_28_who_lost_a_process_runs_when_none_is_missing_any_more(
    bench: Bench,
) -> None:
    first, second = task(), task()
    assert bench.apart.takes(first)
    assert bench.apart.takes(second)
    assert len(bench.apart) == 2
    assert bench.apart.next() is None
    bench.complete = True
    assert bench.apart.next() is first
    assert bench.apart.next() is second
    assert bench.apart.next() is None
    assert not bench.apart.takes(first)


def test_row_28_no_longer_than_some_seconds_is_it_held_back(bench: Bench) -> None:
    assert bench.apart.wait() == math.inf
    held = task()
    bench.apart.takes(held)
    assert bench.apart.wait() == PATIENCE
    bench.now += PATIENCE - 0.5
    assert bench.apart.next() is None
    bench.now += 0.5
    assert bench.apart.next() is held
    assert bench.apart.wait() == math.inf


def test_row_28_what_is_held_back_can_be_handed_back(bench: Bench) -> None:
    held = task()
    bench.apart.takes(held)
    assert bench.apart.take_back() == [held]
    assert len(bench.apart) == 0


def test_row_28_no_more_than_some_tasks_are_held_back(bench: Bench) -> None:
    taken = [bench.apart.takes(task()) for _ in range(4)]
    assert taken == [True, True, True, False]
