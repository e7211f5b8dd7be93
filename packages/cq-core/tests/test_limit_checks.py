"""What ``manage.py check`` says of limits: of the settings, and of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cq import Limit, task
from cq.checks import limits as checks
from cq.definitions import registry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _tasks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_definitions", {})
    return iter(())


def define(name: str, *limits: Limit | str) -> None:
    def function(cqt: Any, a: Any = 1) -> None: ...

    task(name, limits=limits)(function)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"stripe": {"rate": "90/s", "burst": 20, "concurrency": 8}}, None),
        ({"stripe": {"concurrency": 8, "key": "a:{b}"}}, None),
        ({"stripe": {"concurrency": 8, "key": str}}, None),
        ({}, None),
        ({"stripe": {}}, "CQ_LIMITS['stripe']: a Limit needs a concurrency, a rate"),
        ({"stripe": "90/s"}, "CQ_LIMITS['stripe'] is '90/s', but must be a dict"),
        (
            {"stripe": {"rates": "90/s"}},
            "CQ_LIMITS['stripe'] has 'rates', but may have",
        ),
        ({"stripe": {"rate": "0/s"}}, "CQ_LIMITS['stripe']: rate is '0/s', but must"),
        ({"stripe": {"rate": "fast"}}, "CQ_LIMITS['stripe']: rate is 'fast'"),
        ({"stripe": {"burst": 3}}, "CQ_LIMITS['stripe']: a Limit needs"),
        ({"stripe": {"concurrency": 0}}, "CQ_LIMITS['stripe']: concurrency is 0"),
        (
            {"stripe": {"concurrency": 1, "key": "{0}"}},
            "the key of CQ_LIMITS['stripe'] is '{0}', where {0} names no argument",
        ),
        ({"stripe": {"concurrency": 1, "key": 7}}, "CQ_LIMITS['stripe']: key is 7"),
        ({"": {"concurrency": 1}}, "CQ_LIMITS has '', but must have names"),
        ({7: {"concurrency": 1}}, "CQ_LIMITS has 7, but must have names"),
    ],
)
def test_each_wrong_value_of_the_named_limits_is_told(
    setting: Any, says: str | None, settings: Any
) -> None:
    settings.CQ_LIMITS = setting
    found = checks.check_named_limits()

    assert [m.id for m in found] == ([] if says is None else ["cq.E042"])
    assert says is None or (says in found[0].msg and found[0].hint)


def test_all_of_them_are_told(settings: Any) -> None:
    settings.CQ_LIMITS = {"a": {}, "b": {"concurrency": 1}, "c": {"rate": "x"}}

    assert len(checks.check_named_limits()) == 2


def test_a_setting_of_another_type_is_told_once(settings: Any) -> None:
    settings.CQ_LIMITS = ["stripe"]
    define("limits.a", "stripe")

    assert checks.check_named_limits() == checks.check_names_of_limits() == []
    assert checks.check_keys_of_limits() == []


def test_a_name_that_the_settings_lack_is_told_with_its_task(settings: Any) -> None:
    settings.CQ_LIMITS = {"stripe": {"concurrency": 1}, "wrong": {}}
    define("limits.a", "stripe", "strip", "wrong")

    [message] = checks.check_names_of_limits()
    assert message.id == "cq.E043"
    assert message.msg == (
        "limits.a has the limit 'strip', which CQ_LIMITS lacks; there are: 'stripe', "
        "'wrong'."
    )
    settings.CQ_LIMITS = {}
    assert "there are: none." in checks.check_names_of_limits()[0].msg


def differing() -> list[str]:
    found = checks.check_keys_of_limits()
    assert all(m.id == "cq.W010" and m.hint for m in found)
    return [m.msg for m in found]


def test_two_tasks_with_other_numbers_for_one_key_are_told() -> None:
    define("limits.a", Limit(concurrency=2, rate="90/s", key="stripe"))
    define("limits.b", Limit(rate="1/m", key="stripe"))

    assert differing() == [
        "Limits of the key 'stripe' differ: limits.a has concurrency 2, a start each "
        "0.0111111 s, burst 90; limits.b has a start each 60 s, burst 1."
    ]


def test_a_task_and_the_settings_are_compared_too(settings: Any) -> None:
    settings.CQ_LIMITS = {
        "stripe": {"concurrency": 8},
        "mail": {"concurrency": 1, "key": "{a}"},
        "of": {"concurrency": 1, "key": str},
    }
    define("limits.a", Limit(concurrency=2, key="stripe"), "stripe")
    define("limits.b", Limit(concurrency=2, key="{a}"))

    assert [msg.split(": ")[0] for msg in differing()] == [
        "Limits of the key 'stripe' differ",
        "Limits of the key '{a}' differ",
    ]


def test_a_key_that_is_the_name_of_another_task_is_that() -> None:
    define("limits.a", Limit(concurrency=2))
    define("limits.b", Limit(concurrency=3, key="limits.a"))

    assert len(differing()) == 1


def test_what_is_alike_is_not_told() -> None:
    define("limits.a", Limit(concurrency=2, key="k"), Limit(rate="60/m", key="k"))
    define("limits.b", Limit(concurrency=2, rate="1/s", burst=1, key="k"))
    # A brace that is doubled is one, and no field.
    define("limits.c", Limit(concurrency=2, key="{{a}}"))
    define("limits.d", Limit(concurrency=3, key="{a}"))
    # Nobody knows what functions make.
    define("limits.e", Limit(concurrency=1, key=str))
    define("limits.f", Limit(concurrency=2, key=str))
    define("limits.g", Limit(concurrency=1))
    define("limits.h", Limit(concurrency=2))

    assert differing() == []
