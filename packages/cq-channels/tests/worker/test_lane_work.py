"""What a claimer asks of lanes, and what it does not ask again."""

from __future__ import annotations

from typing import Any

import pytest

from cq import task
from cq.limits.claims.claiming import LaneClaims
from cq.limits.claims.turns import Names
from cq.limits.holding import Served
from cq.models import Lane
from cq_channels.worker.lanes.held_places import HeldPlaces
from cq_channels.worker.lanes.lane_work import LaneWork

pytestmark = pytest.mark.django_db(transaction=True)

PAUSED = Served(without_names=("lane_work.of_tenant",))


@task("lane_work.of_tenant", fair="{tenant}")
def of_tenant(cqt: Any, tenant: str) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


class Counted:
    """The work of a claimer, and how often it has looked among lanes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self.served = Served()
        self.work = LaneWork(
            "default", 11, HeldPlaces(lambda: None), lambda: self.served
        )
        claim = LaneClaims.claim

        def counted(*given: Any) -> Any:
            self.looks += 1
            return claim(*given)

        monkeypatch.setattr(LaneClaims, "claim", counted)

    def claim(self) -> int:
        names = Names(None, self.served.without_names)
        return len(self.work.claim(1, names, [], lambda priority: True))


def test_lanes_of_what_is_paused_are_passed_over_once_until_something_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To find that they are all paused comes past all of them."""
    counted = Counted(monkeypatch)
    counted.served = PAUSED
    of_tenant.delay("acme")
    counted.work.prepare(0)
    assert [counted.claim() for _ in range(5)] == [0] * 5
    assert counted.looks == 1

    of_tenant.using(fair="free").delay("x")
    counted.work.rung()
    counted.work.prepare(1)
    assert counted.claim() == 0
    assert counted.looks == 2
    counted.served = Served()
    counted.work.rung()
    counted.work.prepare(2)
    assert counted.claim() == 1


def test_where_nothing_is_paused_each_claim_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch)
    of_tenant.delay("acme")
    counted.work.prepare(0)
    # Somebody else is faster.
    Lane.objects.all().delete()
    assert [counted.claim() for _ in range(3)] == [0] * 3
    assert counted.looks == 3
