"""What may end processes is held back while one is missing, but not for long."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from cq_channels.worker.poison import MAX_HOLD_BACK_SECONDS, HoldBack


def task() -> Any:
    return SimpleNamespace(losses=1)


class Bench:
    """A process by a clock that a test moves, and whether another one is missing."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.complete = False
        self.hold_back = HoldBack(lambda: self.complete, 3, lambda: self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_row_28_who_lost_a_process_runs_when_none_is_missing_any_more(
    bench: Bench,
) -> None:
    first, second = task(), task()
    assert bench.hold_back.takes(first)
    assert bench.hold_back.takes(second)
    assert len(bench.hold_back) == 2
    assert bench.hold_back.next() is None
    bench.complete = True
    assert bench.hold_back.next() is first
    assert bench.hold_back.next() is second
    assert bench.hold_back.next() is None
    assert not bench.hold_back.takes(first)


def test_row_28_no_longer_than_some_seconds_is_it_held_back(bench: Bench) -> None:
    assert bench.hold_back.wait() == math.inf
    held = task()
    bench.hold_back.takes(held)
    assert bench.hold_back.wait() == MAX_HOLD_BACK_SECONDS
    bench.now += MAX_HOLD_BACK_SECONDS - 0.5
    assert bench.hold_back.next() is None
    bench.now += 0.5
    assert bench.hold_back.next() is held
    assert bench.hold_back.wait() == math.inf


def test_row_28_what_is_held_back_can_be_handed_back(bench: Bench) -> None:
    held = task()
    bench.hold_back.takes(held)
    assert bench.hold_back.take_back() == [held]
    assert len(bench.hold_back) == 0


def test_row_28_no_more_than_some_tasks_are_held_back(bench: Bench) -> None:
    taken = [bench.hold_back.takes(task()) for _ in range(4)]
    assert taken == [True, True, True, False]
