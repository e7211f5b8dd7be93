"""Lanes: which calls are alike to who claims, and what of a row is read as limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import driving
import pytest

from cq import Limit, task
from cq.definitions.lanes import fair_of, lane_of, limits_of, stored
from cq.enqueue.plan import Plan
from cq.models import Task

if TYPE_CHECKING:
    from uuid import UUID

DB = "default"


@task(
    "lane_of.charge", limits=[Limit(concurrency=2, key="{customer}")], fair="{tenant}"
)
def charge(cqt: Any, customer: Any, tenant: Any = 0) -> None: ...


@task("lane_of.plain")
def plain(cqt: Any, customer: Any = 0, tenant: Any = 0) -> None: ...


@task("lane_of.other", limits=[Limit(concurrency=2, key="{customer}")], fair="{tenant}")
def other(cqt: Any, customer: Any, tenant: Any = 0) -> None: ...


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_LIMITS = {"stripe": {"concurrency": 8}}


def lane(call: Any) -> UUID | None:
    return Plan(DB).add(call).lane


def test_a_call_without_limits_and_without_a_fair_key_has_none() -> None:
    assert lane(plain.s()) is None
    assert lane(charge.s(1).using(limits=(), fair=None)) is None
    assert lane(plain.s().using(fair=lambda *_: None)) is None
    assert lane_of("lane_of.plain", None) is None
    assert lane_of("lane_of.plain", {}) is None
    assert lane_of("lane_of.plain", {"limits": [], "release": "1"}) is None


def test_calls_that_are_alike_have_one_lane() -> None:
    assert lane(charge.s(1, 2)) == lane(charge.s(customer="1", tenant=2)) is not None
    assert lane(plain.s(1).using(limits=["stripe"])) == lane(
        plain.s(2).using(limits=["stripe", "stripe"], priority=4)
    )
    one = Limit(rate="5/m", burst=2, key="k")
    assert lane(plain.s().using(limits=[one])) == lane(
        plain.s().using(limits=[Limit(key="k", burst=2, rate="5/m")])
    )


def test_a_row_that_is_read_is_in_the_lane_that_it_was_written_in() -> None:
    # PostgreSQL keeps the names of a dict in an order of its own.
    one = {
        "limits": [["k", {"concurrency": 3, "rate": "5/m", "burst": 2}]],
        "fair": "a",
    }
    other = {
        "fair": "a",
        "limits": [["k", {"rate": "5/m", "burst": 2, "concurrency": 3}]],
    }

    assert lane_of("lane_of.plain", one) == lane_of("lane_of.plain", other) is not None


def test_what_differs_to_who_claims_makes_another_lane() -> None:
    limits = [
        [Limit(concurrency=1, key="k")],
        [Limit(concurrency=2, key="k")],
        [Limit(concurrency=1, key="l")],
        [Limit(rate="1/s", key="k")],
        ["stripe"],
        ["stripe", Limit(concurrency=1, key="k")],
        [Limit(concurrency=1, key="k"), "stripe"],
        [],
    ]
    calls: list[Any] = [plain.s().using(limits=given, fair="a") for given in limits]
    calls += [
        charge.s(1, 2),
        charge.s(2, 2),
        charge.s(1, 3),
        other.s(1, 2),
        charge.s(1, 2).using(fair=None),
        charge.s(1, 2).using(limits=[]),
    ]
    lanes = [lane(call) for call in calls]

    assert None not in lanes
    assert len(set(lanes)) == len(calls)


def test_a_lane_stays_what_it_was() -> None:
    # Rows keep it: with another one, what waits would be in two.
    kept = stored([("customer:1", "customer:{c}"), ("stripe", {"name": "stripe"})], "ä")

    assert kept == {
        "limits": [["customer:1", "customer:{c}"], ["stripe", {"name": "stripe"}]],
        "fair": "ä",
    }
    assert str(lane_of("shop.charge", kept)) == "28e5f44f-fa9e-55b9-84e6-1679a20bab54"


def test_what_a_row_keeps_is_read_as_it_was_stored() -> None:
    limits: list[Any] = [("a", "a{x}"), ("b", ""), ("c", {"concurrency": 1})]

    kept = stored(limits, "acme")
    assert limits_of(kept) == limits
    assert fair_of(kept) == "acme"
    assert stored([], None) == {}


@pytest.mark.parametrize("options", [None, [], "x", {}, {"limits": {}}, {"fair": 7}])
def test_what_is_none_is_read_as_none(options: Any) -> None:
    assert limits_of(options) == []
    assert fair_of(options) is None
    assert limits_of({"limits": options}) == []
    assert fair_of({"fair": options}) in (None, "x")


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "ab",
        [],
        ["a"],
        ["a", "b", "c"],
        ["a", None],
        ["a", 7],
        [7, "a"],
        ["", "a"],
        ["x" * 201, "a"],
        ["a\0", "a"],
    ],
)
def test_of_the_entries_those_that_are_none_are_left_out(entry: Any) -> None:
    assert limits_of({"limits": [entry, ["a", "b"]]}) == [("a", "b")]


def test_many_in_lanes_are_not_taken_for_alike() -> None:
    plan = Plan(DB)
    first = plan.add(charge.s(1))
    again = plan.add_again(first, charge.s(2))

    assert not first.is_plain
    assert again.lane not in (None, first.lane)


@pytest.mark.django_db
def test_what_takes_the_result_of_another_is_in_no_lane() -> None:
    @task("lane_of.parent")
    def parent(cqt: Any) -> Any:
        return cqt.subtask(charge.using(unique="one"), 1)

    live = charge.using(unique="one").delay(1)
    made = parent.delay()

    driving.run(made)
    child = Task.objects.get(parent=made.pk)
    assert child.options["takes_result"]
    assert limits_of(child.options) == []
    assert fair_of(child.options) is None
    assert live.options["fair"] == "0"
