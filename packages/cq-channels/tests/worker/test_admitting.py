"""The admission of very many newcomers by a claimer, beside what can start already."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cq.limits.holding import Served
from cq_channels.worker.lanes import lane_work
from cq_channels.worker.lanes.held_places import HeldPlaces
from cq_channels.worker.lanes.lane_work import LaneWork

TAKES = 0.25


class Admission:
    """Newcomers for so many passes, each of which takes a quarter of a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.now, self.left, self.passes = 1000.0, left, 0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(lane_work, "time", clock)
        monkeypatch.setattr(lane_work, "admit", self.admit)
        monkeypatch.setattr(lane_work, "due", lambda using: [])
        monkeypatch.setattr(lane_work, "open_pairs", lambda *_: [])
        self.work = LaneWork("default", 1, HeldPlaces(lambda: None), Served)
        self.work.exist = True

    def admit(self, using: str) -> bool:
        self.passes += 1
        self.now += TAKES
        self.left -= 1
        return self.left > 0

    def prepare(self) -> Any:
        if self.work.pending:
            self.work.prepare(0)
        return self.passes


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Admission:
    return Admission(monkeypatch, left=3)


def test_half_of_the_time_is_left_to_what_can_start(many: Admission) -> None:
    assert many.prepare() == 1
    # However often it is rung for more of them.
    many.work.rung()
    assert many.prepare() == 1
    assert many.work.opens_in == TAKES
    many.now += TAKES
    assert many.prepare() == 2


def test_the_last_ones_are_not_forgotten_and_a_new_one_is_admitted_at_once(
    many: Admission,
) -> None:
    while many.left:
        many.now += many.work.opens_in if many.passes else 0.0
        many.prepare()
    assert many.passes == 3
    assert not many.work.pending
    assert many.work.opens_in == float("inf")

    many.work.rung()
    assert many.prepare() == 4
