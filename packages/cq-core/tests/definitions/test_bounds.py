"""What the limits of a row come to, by the code and the settings as they are at its claim."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cq import Limit, task
from cq.definitions import registry
from cq.definitions.bounds import Bound, bounds_of
from cq.definitions.lanes import stored

if TYPE_CHECKING:
    from cq.definitions.signatures import Call


class Set(NamedTuple):
    """What an operator has set."""

    rate: Any = None
    burst: Any = None
    concurrency: Any = None


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_LIMITS = {
        "stripe": {"rate": "90/s", "burst": 20, "concurrency": 8},
        "mail": {"rate": "2/s", "key": "mail:{a}"},
        "few": {"concurrency": 3},
    }


def _of_a(a: Any) -> str:
    return f"function {a}"


@pytest.fixture(autouse=True)
def work(monkeypatch: pytest.MonkeyPatch) -> Any:
    # No other test has the settings that it names.
    monkeypatch.setattr(registry, "_definitions", {**registry._definitions})

    @task(
        "bounds.work",
        limits=[
            Limit(concurrency=2, key="customer:{a}"),
            Limit(rate="4/s", burst=8, key=_of_a),
            Limit(concurrency=5),
            "stripe",
            "mail",
        ],
    )
    def work(cqt: Any, a: Any) -> None: ...

    return work


@task("bounds.plain")
def plain(cqt: Any, a: Any = 1) -> None: ...


def kept(call: Call[Any]) -> dict[str, Any]:
    """As the database gives it back."""
    read: dict[str, Any] = json.loads(json.dumps(stored(call.limits(), None)))
    return read


def bounds(options: Any, name: str = "bounds.work", **overrides: Any) -> list[Bound]:
    return bounds_of(name, options, overrides)


def of(*limits: Any, **overrides: Any) -> list[Bound]:
    return bounds(kept(plain.s().using(limits=limits)), "bounds.plain", **overrides)


def test_the_numbers_are_those_of_code_and_settings_by_their_keys(work: Any) -> None:
    assert bounds(kept(work.s(7))) == [
        Bound("bounds.work", None, 5, None, None),
        Bound("customer:7", None, 2, None, None),
        Bound("function 7", None, None, 0.25, 8),
        Bound("mail:7", "mail", None, 0.5, 2),
        Bound("stripe", "stripe", 8, 1 / 90, 20),
    ]


def test_what_a_call_was_given_is_in_its_row() -> None:
    limits = [Limit(rate="1/m", key="b"), Limit(concurrency=4, key="a"), "few"]

    assert of(*limits) == [
        Bound("a", None, 4, None, None),
        Bound("b", None, None, 60, 1),
        Bound("few", "few", 3, None, None),
    ]


def test_all_limits_of_a_source_hold_for_its_key() -> None:
    @task(
        "bounds.both",
        limits=[Limit(concurrency=2, key="{a}"), Limit(rate="1/s", burst=3, key="{a}")],
    )
    def both(cqt: Any, a: Any) -> None: ...

    found = bounds(kept(both.s("x")), "bounds.both")
    assert found == [Bound("x", None, 2, 1, 3)]


@pytest.mark.parametrize(
    ("limits", "concurrency", "interval", "burst"),
    [
        ([Limit(concurrency=5), Limit(concurrency=2)], 2, None, None),
        ([Limit(concurrency=5), Limit(rate="1/s")], 5, 1, 1),
        ([Limit(rate="1/s", burst=9), Limit(rate="2/s", burst=1)], None, 1, 9),
        ([Limit(rate="60/m", burst=9), Limit(rate="1/s", burst=4)], None, 1, 4),
    ],
)
def test_of_several_with_one_key_the_stricter_holds(
    limits: list[Limit], concurrency: Any, interval: Any, burst: Any
) -> None:
    wanted = [Bound("bounds.plain", None, concurrency, interval, burst)]

    assert of(*limits) == wanted
    assert of(*reversed(limits)) == wanted


def test_a_named_one_keeps_its_name_beside_others_of_its_key() -> None:
    wanted = [Bound("few", "few", 2, None, None)]

    assert of("few", Limit(concurrency=2, key="few")) == wanted
    assert of(Limit(concurrency=2, key="few"), "few") == wanted


# --- what has changed since it was recorded -------------------------------------------


def test_a_limit_that_the_code_has_changed_is_as_it_is_now() -> None:
    options = {"limits": [["customer:7", "customer:{a}"], ["x", "gone:{a}"]]}

    assert bounds(options) == [Bound("customer:7", None, 2, None, None)]


def test_a_task_that_nobody_knows_has_only_what_stands_elsewhere(work: Any) -> None:
    options = kept(work.s(7))
    options["limits"].append(["own", {"concurrency": 1}])

    assert [b.key for b in bounds(options, "bounds.gone")] == [
        "mail:7",
        "own",
        "stripe",
    ]


def test_a_name_that_is_gone_from_the_settings_is_no_limit(settings: Any) -> None:
    options = kept(plain.s().using(limits=["stripe", "few"]))
    settings.CQ_LIMITS = {"few": {"concurrency": 4}, "stripe": {"rate": "fast"}}

    assert bounds(options) == [Bound("few", "few", 4, None, None)]


# --- what operators have set ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "override", "concurrency", "interval", "burst"),
    [
        ("stripe", Set(), 8, 1 / 90, 20),
        ("stripe", Set(concurrency=1), 1, 1 / 90, 20),
        ("stripe", Set(rate="1/m"), 8, 60, 20),
        ("stripe", Set(burst=3), 8, 1 / 90, 3),
        ("stripe", Set("2/s", 5, 6), 6, 0.5, 5),
        ("few", Set(rate="4/s"), 3, 0.25, 4),
        ("few", Set(burst=9), 3, None, None),
        ("few", Set(burst=9, concurrency=2), 2, None, None),
        # What could not have been set.
        ("stripe", Set(rate="fast"), 8, 1 / 90, 20),
        ("stripe", Set(concurrency=0), 8, 1 / 90, 20),
        ("few", Set(concurrency=[]), 3, None, None),
    ],
)
def test_what_an_operator_sets_wins(
    name: str, override: Set, concurrency: Any, interval: Any, burst: Any
) -> None:
    wanted = [Bound(name, name, concurrency, interval, burst)]

    assert of(name, **{name: override, "other": Set("1/d", 1, 1)}) == wanted


def test_an_override_of_what_is_not_in_the_settings_is_no_limit() -> None:
    options = {"limits": [["gone", {"name": "gone"}]]}

    assert bounds(options, gone=Set("1/s", 1, 1)) == []


# --- what anybody may have written into a row -----------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        {"name": 7},
        {"name": []},
        {"name": 7, "concurrency": 1},
        {"name": "gone"},
        {},
        {"concurrency": 0},
        {"concurrency": True},
        {"concurrency": 1.0},
        {"concurrency": "1"},
        {"concurrency": [1]},
        {"rate": {}},
        {"rate": "fast"},
        {"rate": "0/s"},
        {"burst": 4},
        {"concurrency": 1, "burst": 2},
        "",
        "no such source",
        None,
        7,
        [],
    ],
)
def test_what_is_broken_is_no_limit(source: Any) -> None:
    options = {"limits": [["k", source], ["few", {"name": "few"}]]}

    assert bounds(options, "bounds.plain") == [Bound("few", "few", 3, None, None)]


@pytest.mark.parametrize(
    "options", [None, {}, [], "x", 7, {"limits": None}, {"limits": "ab"}, {"limits": 7}]
)
def test_what_keeps_no_limits_has_no_bounds(options: Any) -> None:
    assert bounds(options) == []


def test_one_is_not_true_even_where_it_has_been_asked_for_before() -> None:
    assert bounds({"limits": [["k", {"concurrency": 1}]]})
    assert not bounds({"limits": [["k", {"concurrency": True}]]})
    assert not bounds({"limits": [["k", {"concurrency": 1.0}]]})
