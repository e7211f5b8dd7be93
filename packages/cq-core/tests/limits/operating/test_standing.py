"""How named limits stand: what each holds, whatever its keys are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cq import task
from cq.db.clock import database_now
from cq.limits.claims.pairs import open_pairs
from cq.limits.newcomers import admit
from cq.limits.operating import standing
from cq.limits.operating.changing import set_limit
from cq.limits.operating.standing import standings
from cq.models import LimitKey

if TYPE_CHECKING:
    from cq.limits.claims.claiming import LaneClaims

DB = "default"

pytestmark = pytest.mark.django_db(transaction=True)


def by_region(region: str) -> str:
    return region


@task("standing.stripe", limits=["stripe"])
def stripe(cqt: Any) -> None: ...


@task("standing.customer", limits=["customers"])
def customer(cqt: Any, customer: str) -> None: ...


@task("standing.region", limits=["regions"])
def in_region(cqt: Any, region: str) -> None: ...


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_LIMITS = {
        "stripe": {"concurrency": 2},
        "customers": {"concurrency": 1, "key": "customer:{customer}"},
        "regions": {"concurrency": 1, "rate": "1/d", "key": by_region},
    }


def claim(claims: LaneClaims) -> None:
    while admit(DB):
        pass
    while any(claims.claim(pair, 10).more for pair in open_pairs(DB, None, None)):
        pass


def test_what_runs_and_what_waits_is_counted_by_name(claims: LaneClaims) -> None:
    for _ in range(4):
        stripe.delay()
    for name in ("a", "a", "b", "b", "c"):
        customer.delay(name)
    in_region.delay("eu")
    in_region.delay("eu")
    claim(claims)

    found = {one.name: one for one in standings(DB)}

    assert list(found) == ["customers", "regions", "stripe"]
    counted = {name: (one.running, one.waiting) for name, one in found.items()}
    assert counted == {"customers": (3, 2), "regions": (1, 1), "stripe": (2, 1)}
    assert not any(one.more for one in found.values())
    assert found["regions"].key == f"{__name__}:by_region"
    assert found["customers"].key == "customer:{customer}"
    [alone] = standings(DB, "customers")
    assert alone == found["customers"]
    assert standings(DB, "nobodys") == []


def test_what_is_too_much_to_be_read_is_told(
    claims: LaneClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "a", "b", "b"):
        customer.delay(name)
    stripe.delay()
    claim(claims)
    monkeypatch.setattr(standing, "MOST_READ", 1)

    found = {one.name: one for one in standings(DB)}

    assert (found["customers"].more, found["customers"].waiting) == (True, 1)
    assert (found["stripe"].more, found["stripe"].running) == (False, 1)


def test_what_holds_is_what_is_set_and_else_what_the_settings_say(
    settings: Any,
) -> None:
    set_limit("stripe", {"concurrency": 5})

    found = {one.name: one for one in standings(DB)}

    now, given = found["stripe"].now, found["stripe"].given
    assert now is not None
    assert given is not None
    assert (now.concurrency, given.concurrency) == (5, 2)
    assert found["customers"].set is None
    settings.CQ_LIMITS = {}
    [gone] = standings(DB)
    assert (gone.name, gone.given, gone.now, gone.key) == ("stripe", None, None, None)


def test_until_when_the_last_of_its_keys_is_closed_is_told() -> None:
    now = database_now(DB)
    for number, hours in enumerate((-1, 1, 2)):
        until = now + timedelta(hours=hours)
        LimitKey.objects.create(key=f"k{number}", name="regions", closed_until=until)

    found = {one.name: one.closed_until for one in standings(DB)}

    assert found == {
        "customers": None,
        "stripe": None,
        "regions": now + timedelta(hours=2),
    }
