"""What is said of a queued task that a limit holds, or that waits for its turn."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cq import Limit, WaitTimeout, task
from cq.db.clock import database_now
from cq.limits.claims.claiming import LaneClaims
from cq.limits.claims.pairs import open_pairs
from cq.limits.newcomers import admit
from cq.limits.operating.changing import set_limit
from cq.models import LimitKey
from cq.workers import liveness
from cq.workers.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

DB = "default"

pytestmark = pytest.mark.django_db(transaction=True)


@task("telling.customer", limits=[Limit(concurrency=2, key="customer:{customer}")])
def customer(cqt: Any, customer: int) -> None: ...


@task("telling.rate", limits=[Limit(rate="2/d", key="api")])
def rated(cqt: Any) -> None: ...


@task("telling.both", limits=["stripe", Limit(rate="2/d", key="api")])
def both(cqt: Any) -> None: ...


@task("telling.region", limits=["regions"])
def in_region(cqt: Any, region: str) -> None: ...


@task("telling.fair", fair="{tenant}")
def fair(cqt: Any, tenant: str) -> None: ...


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_LIMITS = {
        "stripe": {"concurrency": 1},
        "regions": {"concurrency": 1, "key": "region:{region}"},
    }


@pytest.fixture(autouse=True)
def lease(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lease]:
    lease = Lease(DB, "test", slots=4)
    lease.register()
    monkeypatch.setattr(liveness, "dead_workers", lambda using, now=None: [])
    yield lease
    lease.close()


@pytest.fixture
def claims(lease: Lease) -> LaneClaims:
    return LaneClaims(DB, lease.worker)


def claim(claims: LaneClaims) -> None:
    while admit(DB):
        pass
    while any(claims.claim(pair, 10).more for pair in open_pairs(DB, None, None)):
        pass


def test_a_limit_whose_places_are_taken_is_named(claims: LaneClaims) -> None:
    one, two, three = (customer.delay(4) for _ in range(3))
    other = customer.delay(5)
    claim(claims)

    assert "; limit 'customer:4' lets 2 run at once, and 2 do." in three.why()
    assert "is QUEUED since " in three.why()
    for running in (one, two, other):
        assert " runs since " in running.why()


def test_a_rate_says_when_it_opens(claims: LaneClaims) -> None:
    rated.delay()
    waiting = rated.delay()
    claim(claims)

    # Half a day, but for what the claim took: of that it says whole seconds.
    assert "; limit 'api' opens in 11:59:5" in waiting.why()
    assert " (2/d)." in waiting.why()


@pytest.mark.parametrize(
    ("rate", "said"),
    [("90/s", "90/s"), ("1/s", "1/s"), ("90/m", "1.5/s"), ("5/h", "5/h")],
)
def test_a_rate_is_said_in_the_first_unit_that_has_a_start_in_it(
    rate: str, said: str
) -> None:
    waiting = customer.using(limits=[Limit(rate=rate, key="k")]).delay(1)
    far = database_now(DB) + timedelta(days=1)
    LimitKey.objects.create(key="k", arrival=far)

    assert f" ({said})." in waiting.why()


def test_all_that_hold_it_are_named(claims: LaneClaims) -> None:
    both.delay()
    waiting = both.delay()
    claim(claims)

    assert "; limit 'api' opens in 11:59:5" in waiting.why()
    assert "(2/d), and limit 'stripe' lets 1 run at once, and 1 do." in waiting.why()


def test_a_key_of_a_named_limit_says_both_and_goes_by_what_is_set(
    claims: LaneClaims,
) -> None:
    in_region.delay("eu")
    waiting = in_region.delay("eu")
    claim(claims)
    said = "limit 'region:eu' (of 'regions') lets 1 run at once, and 1 do"
    assert said in waiting.why()

    set_limit("regions", {"concurrency": 2})

    assert ", and waits for its turn; " in waiting.why()


def test_one_that_is_closed_says_until_when() -> None:
    waiting = customer.delay(4)
    until = database_now(DB) + timedelta(seconds=90)
    key = LimitKey.objects.create(key="customer:4", closed_until=until)
    shown = timezone.localtime(until).isoformat(sep=" ", timespec="seconds")
    assert (
        f"; limit 'customer:4' is closed by back_off until {shown}, for "
        in waiting.why()
    )

    key.closed_until = database_now(DB) - timedelta(seconds=1)
    key.save()

    assert "is closed" not in waiting.why()


def test_what_nothing_holds_waits_for_its_turn() -> None:
    first = customer.delay(4)
    second = customer.delay(4)
    customer.delay(5)
    of_key = fair.delay("acme")

    own = "that has its limits and fair key in queue 'default', and waits for its turn"
    assert f" and the next {own}; 4 slots serve." in first.why()
    assert " with 1 tasks before it that have its limits" in second.why()
    assert f" and the next {own}; 4 slots serve." in of_key.why()


def test_whoever_waits_in_vain_is_told_the_limit(claims: LaneClaims) -> None:
    for _ in range(2):
        customer.delay(4)
    waiting = customer.delay(4)
    claim(claims)

    with pytest.raises(WaitTimeout, match="limit 'customer:4' lets 2 run at once"):
        waiting.wait(0)


def test_it_costs_the_same_however_many_wait(claims: LaneClaims) -> None:
    customer.delay_many([(4,)] * 3)
    waiting = customer.delay(4)
    claim(claims)
    with CaptureQueriesContext(connections[DB]) as few:
        waiting.why()
    customer.delay_many([(4,)] * 100)
    with CaptureQueriesContext(connections[DB]) as many:
        waiting.why()
    assert len(few) == len(many)
