"""What is set of named limits: what may be, what it replaces, and that it holds at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, transaction

from cq import Limit, task
from cq.db.clock import database_now
from cq.definitions.bounds import bounds_of
from cq.limits import openings
from cq.limits.claims.claiming import LaneClaims
from cq.limits.claims.pairs import open_pairs
from cq.limits.holding import Served
from cq.limits.newcomers import admit
from cq.limits.operating import changing, naming
from cq.limits.operating.changing import reset_limit, set_limit
from cq.limits.overrides import Overrides
from cq.models import Lane, Task
from cq.models import Limit as LimitSet
from cq.workers import doorbell

if TYPE_CHECKING:
    from bells import Bell

DB = "default"

pytestmark = pytest.mark.django_db(transaction=True)


@task("changing.stripe", limits=["stripe"])
def stripe(cqt: Any, number: int = 0) -> None: ...


@task("changing.customer", limits=["customers"])
def customer(cqt: Any, customer: str, number: int = 0) -> None: ...


@task("changing.own", limits=[Limit(concurrency=1, key="customer:a")])
def own(cqt: Any, number: int = 0) -> None: ...


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_LIMITS = {
        "stripe": {"rate": "90/s", "burst": 20, "concurrency": 1},
        "customers": {"concurrency": 1, "key": "customer:{customer}"},
    }


def claim(claims: LaneClaims) -> list[Any]:
    """Claim what there is; the arguments of what was claimed."""
    while admit(DB):
        pass
    found = []
    while pairs := open_pairs(DB, None, None):
        [claimed] = [claims.claim(pair, 10) for pair in pairs]
        found += [Task.objects.get(pk=one.pk).args for one in claimed.tasks]
        if not claimed.more:
            break
    return found


def bound(name: str, key: str) -> Any:
    """What a key comes to by what is set."""
    [found] = bounds_of("x", {"limits": [[key, {"name": name}]]}, Overrides(DB).now())
    return found


# --- what is set ----------------------------------------------------------------------


def test_what_is_set_stands_before_the_settings_until_it_is_taken_back() -> None:
    before = database_now(DB)
    user = User(username="ann")

    made = set_limit("stripe", {"rate": "50/s"}, reason=" they throttle ", by=user)

    assert made is not None
    assert (made.rate, made.burst, made.concurrency) == ("50/s", None, None)
    assert (made.reason, made.by) == ("they throttle", "ann")
    assert before <= made.since <= database_now(DB)
    found = bound("stripe", "stripe")
    assert (found.interval, found.burst, found.concurrency) == (0.02, 20, 1)

    assert reset_limit("stripe")
    assert bound("stripe", "stripe").interval == pytest.approx(1 / 90)
    assert not reset_limit("stripe")


def test_what_is_not_given_stays_as_it_was_set() -> None:
    set_limit("stripe", {"rate": "50/s", "concurrency": 3}, reason="one", by="ann")

    made = set_limit("stripe", {"concurrency": None, "burst": 7}, by="bob")

    assert made is not None
    assert (made.rate, made.burst, made.concurrency) == ("50/s", 7, None)
    assert (made.reason, made.by) == ("", "bob")
    assert LimitSet.objects.count() == 1


def test_where_nothing_is_left_that_is_set_its_row_goes() -> None:
    set_limit("stripe", {"concurrency": 3})

    assert set_limit("stripe", {"concurrency": None}) is None
    assert not LimitSet.objects.exists()


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"rate": "0/s"}, "rate is '0/s', but must be .* like \"90/s\""),
        ({"rate": "fast"}, "rate is 'fast'"),
        ({"burst": 0}, r"burst is 0, but must be a whole number, 1\.\.1000000"),
        ({"concurrency": 100_001}, r"concurrency is 100001, .* 1\.\.100000"),
        ({"concurrency": "3"}, "concurrency is '3'"),
    ],
)
def test_what_is_no_limit_is_refused_and_nothing_set(
    numbers: dict[str, Any], said: str
) -> None:
    set_limit("stripe", {"concurrency": 5})
    with pytest.raises(ValueError, match=said):
        set_limit("stripe", {"concurrency": 2, **numbers})
    assert LimitSet.objects.get().concurrency == 5


def test_a_burst_needs_a_rate_in_the_settings_or_beside_it() -> None:
    with pytest.raises(ValueError, match="burst is 3, but there is no rate"):
        set_limit("customers", {"burst": 3})
    assert set_limit("customers", {"burst": 3, "rate": "1/m"}) is not None
    with pytest.raises(ValueError, match="burst is 3, but there is no rate"):
        set_limit("customers", {"rate": None})


def test_a_name_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="no limit 'strip' in CQ_LIMITS; there are: 'stripe', 'cust"
    ):
        set_limit("strip", {"concurrency": 2})
    with pytest.raises(ValueError, match="no limit 'strip'"):
        reset_limit("strip")
    with pytest.raises(TypeError, match="'key' is none of rate, burst, concurrency"):
        set_limit("stripe", {"key": "x"})
    with pytest.raises(TypeError, match="reason is a text"):
        set_limit("stripe", {"burst": 2}, reason=7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every database stores"):
        set_limit("stripe", {"burst": 2}, reason="x" * 1001)
    assert not LimitSet.objects.exists()


def test_what_is_set_of_one_that_has_gone_from_the_settings_is_taken_back(
    settings: Any,
) -> None:
    set_limit("stripe", {"concurrency": 2})
    settings.CQ_LIMITS = {}
    assert reset_limit("stripe")
    assert not LimitSet.objects.exists()


# --- it holds at once -----------------------------------------------------------------


def test_lanes_that_it_holds_are_opened_behind_the_commit(
    claims: LaneClaims, bell: Bell
) -> None:
    for number in range(3):
        stripe.delay(number)
    assert claim(claims) == [(0,)]
    assert Lane.objects.get().held_by == "stripe"
    bell.rung.clear()

    with transaction.atomic():
        set_limit("stripe", {"concurrency": 2})
        assert Lane.objects.get().held_by == "stripe"
        assert bell.rung == []

    assert Lane.objects.get().held_by is None
    assert bell.rung == [doorbell.LANES]


def test_those_of_its_one_key_are_opened_before_all_others_are_read(
    claims: LaneClaims, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        stripe.delay(number)
        for name in "bcd":
            customer.delay(name, number)
    claim(claims)
    read: list[str] = []
    held_lanes = changing.held_lanes

    def noted(*given: Any) -> Any:
        for lane in held_lanes(*given):
            read.append(lane.held_by)
            yield lane
        read.append("rung" if bell.rung else "-")

    monkeypatch.setattr(changing, "held_lanes", noted)
    bell.rung.clear()

    set_limit("stripe", {"concurrency": 2})

    assert read[:2] == ["stripe", "-"]
    assert read[-1] == "rung"
    assert "stripe" not in read[2:]


def test_what_was_rolled_back_opens_nothing(claims: LaneClaims, bell: Bell) -> None:
    stripe.delay(0)
    stripe.delay(1)
    claim(claims)
    bell.rung.clear()
    with transaction.atomic():
        set_limit("stripe", {"concurrency": 2})
        transaction.set_rollback(True)
    assert Lane.objects.get().held_by == "stripe"
    assert bell.rung == []


def test_of_a_limit_with_a_key_of_its_own_all_keys_are_opened_and_no_others(
    claims: LaneClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "_ROWS_AT_ONCE", 2)
    for number in range(2):
        stripe.delay(number)
        own.delay(number)
        for name in "bcd":
            customer.delay(name, number)
    claim(claims)
    held = {"stripe", *(f"customer:{name}" for name in "abcd")}
    assert set(Lane.objects.values_list("held_by", flat=True)) == held

    set_limit("customers", {"concurrency": 2})

    still = Lane.objects.filter(held_by__isnull=False)
    # `own` has numbers of its own under its key.
    assert set(still.values_list("held_by", flat=True)) == {"stripe", "customer:a"}
    assert not Lane.objects.filter(held_by="").exists()
    assert {args[0] for args in claim(LaneClaims(DB, claims.worker))} == set("bcd")


def test_who_holds_a_lane_by_what_was_set_before_opens_it_again(
    claims: LaneClaims,
) -> None:
    """A worker goes by what it has read for half a second."""
    stripe.delay(0)
    assert claim(claims) == [(0,)]
    claims._overrides._clock = lambda: claims._overrides._until - 0.1
    stripe.delay(1)
    # Nothing is held yet that this could open.
    set_limit("stripe", {"concurrency": 2})

    assert claim(claims) == [(1,)]


def test_where_that_fails_it_is_opened_the_next_time(
    claims: LaneClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.delay(0)
    stripe.delay(1)
    assert claim(claims) == [(0,)]
    known = Overrides(DB)
    known.now()
    owed = openings.Openings(DB, known)
    owed.held({}, {"stripe": "stripe"})
    LimitSet.objects.create(name="stripe", concurrency=2, since=database_now(DB))

    def fails(*given: Any) -> int:
        raise OperationalError("the database is away")

    with monkeypatch.context() as away:
        away.setattr(openings, "open_lanes", fails)
        assert owed.settle_or_keep(Served()) == 0
    assert Lane.objects.get().held_by == "stripe"

    assert owed.settle_or_keep(Served()) == 1
    assert Lane.objects.get().held_by is None


def test_a_lower_number_ends_nothing_that_runs(claims: LaneClaims) -> None:
    set_limit("stripe", {"concurrency": 2})
    for number in range(4):
        stripe.delay(number)
    assert claim(claims) == [(0,), (1,)]

    set_limit("stripe", {"concurrency": 1})

    assert claim(LaneClaims(DB, claims.worker)) == []
    assert Task.objects.filter(status="RUNNING").count() == 2
