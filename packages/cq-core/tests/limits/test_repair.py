"""What a sweep mends of limits, and what that costs where there is nothing to mend."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cq import Limit, task
from cq.db.clock import database_now
from cq.definitions.bounds import Bound
from cq.limits import repair as module
from cq.limits.newcomers import admit
from cq.limits.repair import repair
from cq.models import Lane, LimitKey, Place

if TYPE_CHECKING:
    from cq.limits.claims.claiming import LaneClaims

pytestmark = pytest.mark.django_db

DB = "default"


@task("repairs.of", limits=[Limit(concurrency=1, key="of {customer}")])
def of(cqt: Any, customer: str) -> None: ...


@task("repairs.metered", limits=[Limit(rate="1/h", key="metered")])
def metered(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def hold_back(claims: LaneClaims, *tasks: Any) -> None:
    for one in tasks * 2:
        one.delay()
        while admit(DB):
            pass
        while claims.claim(("default", 0), 100).more:
            pass
    held = Lane.objects.filter(held_by__isnull=False)
    assert held.count() == Lane.objects.count() == len(tasks)


def test_a_key_that_has_room_opens_its_lane(claims: LaneClaims) -> None:
    hold_back(claims, of.s("a"), of.s("b"), metered.s())
    Place.objects.filter(key="of b").delete()

    assert repair(DB) == 1

    assert set(Lane.objects.values_list("held_by", flat=True)) == {
        "of a",
        None,
        "metered",
    }


def test_a_key_whose_moment_nobody_knows_is_told_one(claims: LaneClaims) -> None:
    hold_back(claims, metered.s())
    LimitKey.objects.update(opens=None)

    assert repair(DB) == 0

    assert LimitKey.objects.get().opens is not None


def test_a_rate_that_the_code_has_raised_is_not_waited_for(
    claims: LaneClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_back(claims, metered.s())
    assert repair(DB) == 0

    # As another process, of another release.
    monkeypatch.setattr(module, "_asked", {})
    monkeypatch.setattr(
        module,
        "bounds_of",
        lambda *of: [Bound("metered", None, None, interval=0.001, burst=5)],
    )

    before = database_now(DB)
    repair(DB)

    opens = LimitKey.objects.get().opens
    assert opens is not None
    assert opens < before + timedelta(minutes=1)


def test_keys_that_hold_with_reason_cost_a_step_each(claims: LaneClaims) -> None:
    hold_back(claims, metered.s(), *(of.s(f"{n}") for n in range(30)))
    # What this process's code says of one that opens late is asked once.
    repair(DB)

    with CaptureQueriesContext(connection) as queries:
        assert repair(DB) == 0

    # Each key, the end, and what is asked of all together.
    assert len(queries) <= 31 + 1 + 6
