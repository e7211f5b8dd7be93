"""Turns between fair keys: each has its share, by its weight."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db import transaction

from cq import task
from cq.limits.claims.turns import Names, Turns
from cq.limits.newcomers import admit

pytestmark = pytest.mark.django_db

DB, PAIR = "default", ("default", 0)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task("turns.of_tenant", fair="{tenant}")
def of_tenant(cqt: Any, tenant: str) -> None: ...


def turns_of(count: int, starts: int, tenants: str) -> Counter[str]:
    """How many starts each of some tenants gets of so many, `starts` at once."""
    for tenant in tenants:
        of_tenant.delay(tenant)
    while admit(DB):
        pass
    turns, found = Turns(DB), Counter[str]()
    while found.total() < count:
        with transaction.atomic():
            for lane in turns.lock(PAIR, starts, Names()):
                found[lane.options["fair"]] += lane.turn
    return found


@pytest.mark.parametrize("starts", [1, 3, 10])
def test_each_key_has_as_many_turns_as_the_others(starts: int) -> None:
    found = turns_of(300, starts, "abcde")
    assert max(found.values()) - min(found.values()) <= starts
    assert set(found) == set("abcde")


@pytest.mark.parametrize("starts", [1, 4])
def test_weights_hold(settings: Any, starts: int) -> None:
    settings.CQ_FAIR_WEIGHTS = {"a": 3, "b": 0.5}
    found = turns_of(900, starts, "abc")
    assert found["a"] == pytest.approx(600, rel=0.05)
    assert found["b"] == pytest.approx(100, rel=0.05)
    assert found["c"] == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize("starts", [20, 100])
def test_weights_hold_over_ten_thousand_starts(settings: Any, starts: int) -> None:
    weights = {"a": 3.0, "b": 0.5, "c": 1.7, "d": 0.25, "e": 1.0, "f": 1.0}
    settings.CQ_FAIR_WEIGHTS = weights
    found = turns_of(10_000, starts, "abcdef")
    for key, weight in weights.items():
        share = found.total() * weight / sum(weights.values())
        assert found[key] == pytest.approx(share, rel=0.05), key
