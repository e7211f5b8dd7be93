"""Limits and fair keys, as ``@task`` and ``.using()`` are given them, and what a row keeps."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

import cq
from cq import Limit, chain, task
from cq.definitions import registry
from cq.definitions.limits import given_to_call, named_limits
from cq.definitions.signatures import Call
from cq.models import Task
from cq.testing import serial

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_LIMITS = {
        "stripe": {"rate": "90/s", "burst": 20, "concurrency": 8},
        "mail": {"rate": "5/m", "key": "mail:{customer}"},
    }


def by_amount(customer: Any, amount: int = 0) -> str | None:
    return f"amount {amount}" if amount else None


class ByCall:
    def __call__(self, customer: Any, amount: int = 0) -> str:
        return f"called {customer}"


@pytest.fixture(autouse=True)
def _nobody_knows_them_later(monkeypatch: pytest.MonkeyPatch) -> None:
    # No other test has the settings that these tasks name.
    monkeypatch.setattr(registry, "_definitions", {**registry._definitions})


@pytest.fixture
def charge(_nobody_knows_them_later: None) -> Any:
    @task(
        "limits.charge",
        limits=[
            Limit(concurrency=2, key="customer:{customer}"),
            Limit(rate="90/s", key=by_amount),
            "stripe",
            Limit(concurrency=5),
            "mail",
        ],
        fair="{{{customer}}}",
    )
    def charge(cqt: Any, customer: Any, amount: int = 0) -> None: ...

    return charge


@task("limits.plain")
def plain(cqt: Any, customer: Any = 1, amount: int = 0) -> int:
    return 7


@task("limits.of_nobody", limits=[Limit(concurrency=1, key="{nobody}")])
def of_nobody(cqt: Any) -> None: ...


@task("limits.turns_of_nobody", fair="{nobody}")
def turns_of_nobody(cqt: Any) -> None: ...


def kept(made: Any) -> Any:
    return (Task.objects.get(pk=made.pk).options or {}).get("limits")


# --- what a limit is ------------------------------------------------------------------


def test_it_is_public() -> None:
    assert cq.Limit is Limit


@pytest.mark.parametrize(
    ("given", "starts", "period", "interval", "bucket"),
    [
        ({"rate": "90/s"}, 90, 1, 1 / 90, 90),
        ({"rate": "90/s", "burst": 20}, 90, 1, 1 / 90, 20),
        ({"rate": "150/m"}, 150, 60, 0.4, 2),
        ({"rate": "1/m"}, 1, 60, 60, 1),
        ({"rate": "7200/h"}, 7200, 3600, 0.5, 2),
        ({"rate": "1/d", "burst": 1_000_000}, 1, 86_400, 86_400, 1_000_000),
        ({"rate": "1000000/s"}, 1_000_000, 1, 1e-6, 1_000_000),
        ({"concurrency": 1}, None, None, None, None),
        ({"concurrency": 100_000}, None, None, None, None),
    ],
)
def test_a_rate_is_read_once(
    given: dict[str, Any], starts: Any, period: Any, interval: Any, bucket: Any
) -> None:
    limit = Limit(**given)

    assert (limit.starts, limit.period, limit.bucket) == (starts, period, bucket)
    assert limit.interval == (None if interval is None else pytest.approx(interval))
    assert limit.numbers() == given


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, r"needs a concurrency, a rate, or both, like Limit\(concurrency=2\)"),
        ({"key": "x"}, "needs a concurrency, a rate, or both"),
        ({"rate": "0/s"}, "rate is '0/s', but must be a whole number from 1, a slash"),
        (
            {"rate": "fast"},
            "rate is 'fast', but must be a whole number from 1, a slash",
        ),
        ({"rate": "1.5/s"}, "rate is '1.5/s'"),
        ({"rate": "-1/s"}, "rate is '-1/s'"),
        ({"rate": "90/w"}, "rate is '90/w'"),
        ({"rate": "90 / s"}, "rate is '90 / s'"),
        ({"rate": "90/s\n"}, "rate is"),
        ({"rate": "٣/s"}, "rate is"),
        ({"rate": 90}, "rate is 90"),
        ({"rate": ""}, "rate is ''"),
        ({"rate": "9" * 5000 + "/s"}, "rate is '999"),
        ({"rate": "1000001/s"}, "at most 1000000 starts a second"),
        ({"concurrency": 0}, "concurrency is 0, but must be a whole number, 1..100000"),
        ({"concurrency": 100_001}, "concurrency is 100001"),
        ({"concurrency": True}, "concurrency is True"),
        ({"concurrency": 2.0}, "concurrency is 2.0"),
        ({"concurrency": "2"}, "concurrency is '2'"),
        ({"concurrency": 1, "burst": 5}, "burst is 5, but there is no rate"),
        ({"rate": "1/s", "burst": 0}, "burst is 0, but must be a whole number"),
        ({"rate": "1/s", "burst": 1_000_001}, "burst is 1000001"),
        ({"rate": "1/s", "burst": True}, "burst is True"),
        ({"concurrency": 1, "key": ""}, "key is '', but must be 1 to 200 characters"),
        ({"concurrency": 1, "key": "x" * 201}, "key is 'xxx"),
        ({"concurrency": 1, "key": "a\0"}, "no NUL"),
        ({"concurrency": 1, "key": "\ud800"}, "no half of a surrogate pair"),
        ({"concurrency": 1, "key": 7}, "key is 7, but must be"),
    ],
)
def test_what_is_no_limit_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Limit(**given)


def test_it_says_nothing_by_position() -> None:
    wrong: Any = Limit
    with pytest.raises(TypeError):
        wrong(2)


# --- what a row keeps -----------------------------------------------------------------


def test_a_row_keeps_keys_and_where_their_numbers_are(charge: Any) -> None:
    made = charge.delay(4, amount=9)

    row = Task.objects.get(pk=made.pk)
    assert row.options == {
        "limits": [
            ["customer:4", "customer:{customer}"],
            ["amount 9", f"{__name__}:by_amount"],
            ["stripe", {"name": "stripe"}],
            ["limits.charge", ""],
            ["mail:4", {"name": "mail"}],
        ],
        "fair": "{4}",
    }


def test_a_function_without_a_key_for_a_call_does_not_limit_it(charge: Any) -> None:
    keys = [key for key, _ in kept(charge.delay(4))]

    assert keys == ["customer:4", "stripe", "limits.charge", "mail:4"]


def test_a_task_without_any_keeps_nothing() -> None:
    assert Task.objects.get(pk=plain.delay().pk).options is None


def test_each_limit_is_kept_once() -> None:
    @task(
        "limits.twice",
        limits=[
            Limit(concurrency=2, key="{a}"),
            Limit(rate="1/s", key="{a}"),
            "stripe",
            "stripe",
        ],
    )
    def twice(cqt: Any, a: Any) -> None: ...

    assert kept(twice.delay("x")) == [["x", "{a}"], ["stripe", {"name": "stripe"}]]


def test_functions_of_one_name_are_told_apart() -> None:
    keys: list[Any] = [lambda a: f"one {a}", lambda a: f"two {a}", ByCall()]

    @task("limits.lambdas", limits=[Limit(concurrency=1, key=key) for key in keys])
    def of_lambdas(cqt: Any, a: Any) -> None: ...

    (one, source), (two, other), (three, of_object) = kept(of_lambdas.delay(1))
    assert (one, two, three) == ("one 1", "two 1", "called 1")
    assert source.endswith("<lambda>")
    assert other == f"{source}#2"
    assert of_object == f"{__name__}:ByCall"


def test_what_a_call_is_given_replaces_all_and_says_all(charge: Any) -> None:
    given = [Limit(concurrency=3, key="{"), Limit(rate="5/m", burst=2), "stripe"]
    made = charge.using(limits=given, fair="acme}").delay(4)

    assert Task.objects.get(pk=made.pk).options == {
        "limits": [
            ["{", {"concurrency": 3}],
            ["limits.charge", {"rate": "5/m", "burst": 2}],
            ["stripe", {"name": "stripe"}],
        ],
        "fair": "acme}",
    }
    none = charge.using(limits=[], fair=None).delay(4)
    assert Task.objects.get(pk=none.pk).options is None


def test_a_function_may_make_the_key_of_a_call_too(charge: Any) -> None:
    limit = Limit(concurrency=1, key=partial(by_amount, amount=3))

    with_both = charge.s(4).using(limits=[limit], fair=lambda customer: f"c{customer}")
    made = Task.objects.get(pk=with_both.delay().pk)
    assert made.options == {
        "limits": [["amount 3", {"concurrency": 1}]],
        "fair": "c4",
    }


def test_a_list_that_is_changed_later_changes_no_task() -> None:
    given: list[Limit | str] = ["stripe"]
    changed = plain.using(limits=given)
    given.append("no such limit")

    assert kept(changed.delay()) == [["stripe", {"name": "stripe"}]]


def test_many_at_once_have_a_key_each(charge: Any) -> None:
    made = charge.delay_many([(1,), (2,), (3, 4)])

    assert [(kept(t)[0][0], t.options["fair"]) for t in made] == [
        ("customer:1", "{1}"),
        ("customer:2", "{2}"),
        ("customer:3", "{3}"),
    ]


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"limits": [Limit(concurrency=1, key="{")]}, "key of limits is '{'"),
        ({"limits": [Limit(concurrency=1, key="{0}")]}, "names no argument"),
        ({"limits": "stripe"}, "limits is 'stripe', but must be a list of at most 10"),
        ({"limits": None}, "limits is None"),
        ({"limits": [{"rate": "1/s"}]}, "limits is"),
        ({"limits": [""]}, "limits is"),
        ({"limits": ["x" * 201]}, "limits is"),
        ({"limits": ["stripe"] * 11}, "at most 10"),
        ({"fair": "{"}, "fair is '{', which is no format string"),
        ({"fair": ""}, "fair is '', but must be a key"),
        ({"fair": "x" * 201}, "1 to 200 characters"),
        ({"fair": 7}, "fair is 7, but must be a key"),
    ],
)
def test_what_is_wrong_is_refused_at_the_decorator(
    options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        task("limits.refused", **options)


def test_what_is_wrong_is_refused_by_using() -> None:
    wrong: Any = plain.using
    for options in ({"limits": "stripe"}, {"limits": [7]}, {"fair": "\0"}):
        with pytest.raises(ValueError, match="but must be"):
            wrong(**options)


@pytest.mark.parametrize("call", [of_nobody.s(), turns_of_nobody.s()])
def test_an_argument_that_is_missing_is_refused_at_the_call(call: Any) -> None:
    with pytest.raises(TypeError, match=r"of_nobody: .* has no argument 'nobody'"):
        call.delay()

    assert not Task.objects.exists()


def test_a_missing_argument_of_a_named_limit_is_refused_at_the_call() -> None:
    with pytest.raises(TypeError, match=r"CQ_LIMITS\['mail'\] is .* 'customer'"):
        of_nobody.using(limits=["mail"]).delay()

    assert not Task.objects.exists()


@pytest.mark.parametrize("value", ["x" * 300, "nul \x00", "\ud800"])
@pytest.mark.parametrize("fair", [True, False])
def test_a_key_that_no_row_can_have_is_refused_at_the_call(
    value: str, fair: bool, charge: Any
) -> None:
    made = plain.using(fair=lambda *_: value) if fair else charge
    what = "the fair key" if fair else "the key of limits"
    with pytest.raises(ValueError, match=what):
        made.delay(value)

    assert not Task.objects.exists()


@pytest.mark.parametrize("key", [7, b"x", "", ["a"]])
def test_what_a_function_makes_has_to_be_a_key(key: Any) -> None:
    limit = Limit(concurrency=1, key=lambda *_: key)
    for options in ({"limits": [limit]}, {"fair": lambda *_: key}):
        with pytest.raises(ValueError, match="must be a string of 1 to 200 characters"):
            plain.using(**options).delay()

    assert not Task.objects.exists()


def _raises(customer: Any, amount: int = 0) -> str:
    raise KeyError("a secret")


def test_a_function_that_raises_is_named_with_task_and_option() -> None:
    for options, what in (
        ({"limits": [Limit(concurrency=1, key=_raises)]}, "key of limits"),
        ({"fair": _raises}, "fair key"),
        ({"unique": _raises}, "unique key"),
    ):
        changed: Any = plain.using(**options)
        said = rf"limits.plain: the function .*:_raises for the {what} .* KeyError"
        with pytest.raises(ValueError, match=said) as caught:
            changed.delay(1)
        assert "a secret" not in str(caught.value)
        assert isinstance(caught.value.__cause__, KeyError)

    assert not Task.objects.exists()


def test_a_function_that_does_not_take_the_arguments_is_a_type_error() -> None:
    limit = Limit(concurrency=1, key=lambda customer: "x")
    with pytest.raises(TypeError, match=r"limits.plain: the function .* TypeError"):
        plain.using(limits=[limit]).delay(1, 2)

    assert not Task.objects.exists()


@pytest.mark.parametrize("in_what", [lambda t: t, lambda t: [{"x": (t,)}]])
def test_the_result_of_another_task_makes_no_key(in_what: Any, charge: Any) -> None:
    before = plain.delay()

    with pytest.raises(TypeError, match="argument 'customer' is the result of another"):
        charge.delay(in_what(before))
    with pytest.raises(TypeError, match="argument 'customer' is the result of another"):
        charge.using(limits=["mail"]).delay(in_what(before))
    with pytest.raises(TypeError, match="argument 'customer' is the result of another"):
        charge.using(limits=[]).delay(in_what(before))
    assert charge.using(limits=[], fair="one").delay(in_what(before)).created


def test_what_comes_from_a_chain_makes_no_key(charge: Any) -> None:
    with pytest.raises(TypeError, match="argument 'customer' is the result of another"):
        chain(plain.s(), charge.s()).delay()

    assert not Task.objects.exists()
    chain(plain.s(), charge.si(3)).delay()
    assert Task.objects.get(name="limits.charge").options["fair"] == "{3}"


# --- names ----------------------------------------------------------------------------


def test_a_name_that_there_is_not_is_refused_at_the_call() -> None:
    @task("limits.unnamed", limits=["strip"])
    def unnamed(cqt: Any) -> None: ...

    said = r"limits.unnamed: there is no limit 'strip' .* there are: 'stripe', 'mail'"
    for call in (unnamed, plain.using(limits=["strip"])):
        with pytest.raises(ValueError, match=said.replace("limits.unnamed", r"\S+")):
            call.delay()

    assert not Task.objects.exists()


def test_a_name_that_says_no_limit_is_refused_at_the_call(settings: Any) -> None:
    settings.CQ_LIMITS = {"stripe": {"rate": "fast"}}

    with pytest.raises(ValueError, match=r"CQ_LIMITS\['stripe'\]: rate is 'fast'"):
        plain.using(limits=["stripe"]).delay()

    settings.CQ_LIMITS = {}
    with pytest.raises(ValueError, match="there are: none"):
        plain.using(limits=["stripe"]).delay()


def test_named_limits_have_a_key_of_their_own_or_their_name(settings: Any) -> None:
    assert {n: limit.key for n, limit in named_limits().items()} == {
        "stripe": "stripe",
        "mail": "mail:{customer}",
    }
    # As it was written, braces and all: it is no template.
    settings.CQ_LIMITS = {"{x}": {"concurrency": 1}, "of": {"rate": "1/s", "key": str}}
    made = plain.using(limits=["{x}", "of"]).s(4).delay()
    assert kept(made) == [["{x}", {"name": "{x}"}], ["4", {"name": "of"}]]


def test_what_is_wrong_there_is_left_out_of_the_named(settings: Any) -> None:
    settings.CQ_LIMITS = {"a": {}, "b": None, "": {}, 7: {}, "c": {"concurrency": 1}}
    assert list(named_limits()) == ["c"]
    settings.CQ_LIMITS = None
    assert not named_limits()


def test_what_a_call_was_given_is_told_from_what_its_task_has(charge: Any) -> None:
    own = charge.definition.options.limits
    few, mail = Limit(concurrency=1, key="k"), Limit(rate="1/m", burst=3, key="{")

    def given(*limits: Any) -> Any:
        call = Call(charge.definition, (4,), {}, {"limits": limits} if limits else {})
        return given_to_call(own, call.limits())

    assert given() is None
    assert given(few, "stripe", mail) == [few, "stripe", mail]
    assert given_to_call((), [("stripe", {"name": "stripe"})]) == ["stripe"]
    # As its task has it, too.
    assert given("stripe") is None
    # What nobody can have given.
    assert given_to_call(own, [("k", {"concurrency": 0})]) == []
    assert given_to_call(own, [("k", {"name": 7})]) == []


# --- serial runs ----------------------------------------------------------------------


def test_a_serial_run_keeps_nothing(settings: Any, charge: Any) -> None:
    settings.CQ_SERIAL = True
    made = charge.delay(4)

    row = Task.objects.get(pk=made.pk)
    assert (row.status, row.options) == ("COMPLETE", None)


def test_a_serial_run_refuses_alike(settings: Any) -> None:
    @task("limits.serial")
    def caller(cqt: Any, at: int) -> Any:
        return (of_nobody, turns_of_nobody)[at].delay()

    for at, wrong in enumerate((of_nobody, turns_of_nobody)):
        with serial(), pytest.raises(TypeError, match="has no argument 'nobody'"):
            wrong.delay()
        with pytest.raises(TypeError, match="has no argument 'nobody'"):
            caller(at)
    with pytest.raises(ValueError, match="there is no limit 'strip'"), serial():
        plain.using(limits=["strip"]).delay()
    settings.CQ_SERIAL = True
    with pytest.raises(TypeError, match="has no argument 'nobody'"):
        of_nobody.delay()


def test_a_call_of_the_function_asks_for_its_keys() -> None:
    assert plain(1) == 7
    with pytest.raises(TypeError, match="has no argument 'nobody'"):
        of_nobody()


def test_a_call_says_what_it_is_limited_by(charge: Any) -> None:
    call = Call(charge.definition, (4,))

    assert call.limits()[0] == ("customer:4", "customer:{customer}")
    assert call.fair_key() == "{4}"
    assert Call(plain.definition).limits() == []
    assert Call(plain.definition).fair_key() is None
