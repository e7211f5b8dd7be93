"""What a claimer starts from lanes for its slots."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cq.limits.holding import Served
from cq_channels.worker.lanes import from_lanes
from cq_channels.worker.lanes.from_lanes import FromLanes

if TYPE_CHECKING:
    import pytest


class Lanes:
    """Lanes that are open, none of them of a coroutine; each look takes some seconds."""

    open = (0,)

    def __init__(self, monkeypatch: pytest.MonkeyPatch, takes: float) -> None:
        self.now = 1000.0
        self.takes, self.looks = takes, 0
        self.again: list[float] = []
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(from_lanes, "time", clock)
        ahead: Any = SimpleNamespace(
            claimed=lambda **_: None, for_lanes=lambda **_: 0, threads=None
        )
        loop: Any = SimpleNamespace(free=1)
        me: Any = self
        self.from_lanes = FromLanes(me, ahead, loop, self.take)

    def served(self) -> Served:
        return Served()

    def look_again(self, at: float) -> None:
        self.again.append(at)

    def take(self, room: int, claim: Any) -> int:
        if room:
            self.looks += 1
            self.now += self.takes
        return 0

    def look(self) -> None:
        self.from_lanes.urgent(["a coroutine"], None)


def test_a_look_for_coroutines_among_very_many_lanes_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes = Lanes(monkeypatch, takes=0.03125)
    for _ in range(5):
        lanes.look()
    assert lanes.looks == 1
    # It is not forgotten.
    assert set(lanes.again) == {1000.0 + 0.03125 * from_lanes.SPACING}

    lanes.now = lanes.again[0]
    lanes.look()
    assert lanes.looks == 2


def test_a_look_for_coroutines_among_few_lanes_comes_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes = Lanes(monkeypatch, takes=0.001)
    for _ in range(5):
        lanes.look()
    assert (lanes.looks, lanes.again) == (5, [])
