"""Claims from lanes: never more than the keys allow, and nobody waits for nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from cq import Limit, lifecycle, task
from cq.limits import places
from cq.limits.claims import claiming
from cq.limits.claims.pairs import open_pairs
from cq.limits.holding import due, open_lanes
from cq.limits.newcomers import admit
from cq.limits.starts import give_back_starts
from cq.models import Lane, LimitKey, Task
from cq.models import Place as PlaceRow
from cq.status import Status
from cq.workers.claim_order import claim_ids, claim_next

if TYPE_CHECKING:
    from cq.limits.claims.claimed import Claimed
    from cq.limits.claims.claiming import LaneClaims

pytestmark = pytest.mark.django_db

DB = "default"
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task("lanes.charge", limits=[Limit(concurrency=2, key="customer:{customer}")])
def charge(cqt: Any, customer: str, number: int = 0) -> None: ...


@task("lanes.call", limits=[Limit(rate="10/s", burst=3, key="api")])
def call(cqt: Any, number: int = 0) -> None: ...


@task(
    "lanes.both", limits=[Limit(concurrency=1, key="a"), Limit(concurrency=1, key="b")]
)
def both(cqt: Any) -> None: ...


@task("lanes.a", limits=[Limit(concurrency=1, key="a")])
def only_a(cqt: Any) -> None: ...


@task("lanes.fair", fair="{tenant}")
def fair(cqt: Any, tenant: str, number: int = 0) -> None: ...


@task("lanes.plain")
def plain(cqt: Any) -> None: ...


def admit_all() -> None:
    while admit(DB):
        pass


def claim(claims: LaneClaims, starts: int = 10, now: datetime = NOW) -> list[Claimed]:
    """Claim what there is, from all pairs."""
    admit_all()
    return [claims.claim(pair, starts, now=now) for pair in open_pairs(DB, None, None)]


def tasks_of(claimed: list[Claimed]) -> list[Task]:
    return [found for one in claimed for found in one.tasks]  # type: ignore[misc]


def end(claimed: list[Claimed]) -> None:
    """As the runs of these have ended."""
    for one in claimed:
        for found in one.tasks:
            held = lifecycle.Claim(found.pk, found.fence, found.worker_id)  # type: ignore[arg-type]
            lifecycle.complete(DB, held, None)
        open_lanes(DB, places.free(DB, one.places))


def open_due(using: str, now: datetime) -> int:
    """As a claimer does it: a lane of each key whose moment has come."""
    return open_lanes(using, dict.fromkeys(due(using, now), 1))


def test_no_more_than_its_places_are_claimed_of_a_key(claims: LaneClaims) -> None:
    for number in range(5):
        charge.delay("ann", number)
        charge.delay("bob", number)
    first = claim(claims)
    assert Counter(t.args[0] for t in tasks_of(first)) == {"ann": 2, "bob": 2}
    assert not tasks_of(claim(claims))
    assert PlaceRow.objects.count() == 4
    assert set(Lane.objects.values_list("held_by", flat=True)) == {
        "customer:ann",
        "customer:bob",
    }
    end(first)
    second = claim(claims)
    assert [t.args[1] for t in tasks_of(second) if t.args[0] == "ann"] == [2, 3]
    end(second)
    third = claim(claims)
    assert [t.args[1] for t in tasks_of(third)] == [4, 4]
    assert not Lane.objects.exists()
    end(third)
    assert not PlaceRow.objects.exists()


def test_all_or_none_of_the_keys(claims: LaneClaims) -> None:
    only_a.delay()
    first = claim(claims)
    both.delay()
    assert not tasks_of(claim(claims))
    assert list(PlaceRow.objects.values_list("key", flat=True)) == ["a"]
    end(first)
    [found] = tasks_of(claim(claims))
    assert found.name == "lanes.both"
    assert sorted(PlaceRow.objects.values_list("key", flat=True)) == ["a", "b"]


def test_a_rate_allows_its_burst_and_then_one_by_one(claims: LaneClaims) -> None:
    for number in range(6):
        call.delay(number)
    [first] = claim(claims)
    assert [t.args[0] for t in first.tasks] == [0, 1, 2]
    assert first.opens_in == pytest.approx(0.1)
    assert not claim(claims)
    later = NOW + timedelta(seconds=0.1)
    assert open_due(DB, later - timedelta(milliseconds=1)) == 0
    assert open_due(DB, later) == 1
    [second] = claim(claims, now=later)
    assert [t.args[0] for t in second.tasks] == [3]
    assert second.opens_in == pytest.approx(0.1)


def test_a_key_that_is_closed_lets_nothing_start(claims: LaneClaims) -> None:
    until = NOW + timedelta(seconds=30)
    LimitKey.objects.create(key="customer:ann", closed_until=until)
    charge.delay("ann")
    charge.delay("bob")
    [first] = claim(claims)
    assert [t.args[0] for t in first.tasks] == ["bob"]
    assert first.opens_in == 30
    assert open_due(DB, until) == 1
    [second] = claim(claims, now=until)
    assert [t.args[0] for t in second.tasks] == ["ann"]


def test_tenants_take_turns(claims: LaneClaims) -> None:
    for number in range(6):
        fair.delay("ann", number)
    for number in range(2):
        fair.delay("bob", number)
        fair.delay("eve", number)
    order = [tasks_of(claim(claims, 1))[0].args for _ in range(10)]
    assert [tenant for tenant, _ in order[:6]] == ["ann", "bob", "eve"] * 2
    assert [number for tenant, number in order if tenant == "ann"] == list(range(6))


def test_plain_claims_leave_lanes_alone(claims: LaneClaims, worker: int) -> None:
    limited, free = charge.delay("ann"), plain.delay()
    assert not claim_ids(DB, worker, [limited.pk])
    assert [t.pk for t in claim_next(DB, worker, 10)] == [free.pk]
    assert [t.pk for t in tasks_of(claim(claims))] == [limited.pk]


def test_what_comes_back_into_the_queue_is_a_newcomer(claims: LaneClaims) -> None:
    charge.delay("ann")
    [first] = claim(claims)
    [found] = first.tasks
    assert not Lane.objects.exists()
    held = lifecycle.Claim(found.pk, found.fence, found.worker_id)  # type: ignore[arg-type]
    lifecycle.hand_back(DB, [held])
    places.free(DB, first.places)
    [again] = tasks_of(claim(claims))
    assert again.pk == found.pk
    assert again.status == Status.RUNNING


def test_another_priority_is_another_lane(claims: LaneClaims) -> None:
    first, second = charge.delay("ann", 1), charge.delay("ann", 2)
    admit_all()
    lifecycle.prioritize(DB, [second.pk], 50)
    found = claim(claims, 1)
    assert [t.pk for t in tasks_of(found)] == [second.pk, first.pk]
    assert not Lane.objects.exists()


def test_another_queue_is_another_lane(claims: LaneClaims) -> None:
    first, second = charge.delay("ann", 1), charge.delay("ann", 2)
    admit_all()
    lifecycle.move(DB, [second.pk], "other")
    found = claim(claims, 1)
    assert {t.pk for t in tasks_of(found)} == {first.pk, second.pk}
    assert not Lane.objects.exists()


def test_a_start_that_did_not_come_to_be_is_given_back(claims: LaneClaims) -> None:
    for number in range(5):
        call.delay(number)
    [first] = claim(claims)
    assert len(first.tasks) == 3
    taken = [rate for hold in first.holds.values() for rate in hold.rates]
    assert taken == [("api", 0.1)] * 3
    give_back_starts(DB, taken[:2])
    assert open_lanes(DB, {"api": 1}) == 1
    [again] = claim(claims)
    assert len(again.tasks) == 2


@pytest.mark.django_db(transaction=True)
def test_keys_of_rates_are_made_while_nothing_is_locked(
    claims: LaneClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[bool] = []
    make_keys = claiming.make_keys

    def made(using: str, names: Any) -> None:
        inside.append(connection.in_atomic_block)
        make_keys(using, names)

    monkeypatch.setattr(claiming, "make_keys", made)
    call.delay()
    [first] = claim(claims)
    assert len(first.tasks) == 1
    assert inside == [False]
