"""The arguments of a stored call, of which the database gave the beginning."""

from __future__ import annotations

from typing import Any

import pytest

from cq import task
from cq.display.call_text import arguments, call_text
from cq.display.redaction import HIDDEN, Redaction


@task("calls.pay", redact=("card",))
def pay(cqt: Any, order_id: int, currency: str, card: str = "", *more: Any) -> None: ...


def text(
    args: str,
    kwargs: str = "{}",
    longest: int = 60,
    name: str = "calls.pay",
    **cut: int,
) -> str:
    return call_text(arguments(Redaction(name), args, kwargs, **cut), longest)


@pytest.mark.parametrize(
    ("args", "kwargs", "found"),
    [
        ("[]", "{}", ""),
        ('[4711,"eur"]', "{}", "order_id=4711, currency='eur'"),
        ("[4711]", '{"currency":"eur"}', "order_id=4711, currency='eur'"),
        (
            '[1,"eur","4111",2]',
            "{}",
            "order_id=1, currency='eur', card=********, more=2",
        ),
        ('[{"$":"decimal","v":"1.5"}]', "{}", "order_id=Decimal('1.5')"),
        ('[{"password":"x"}]', "{}", "order_id={'password': ********}"),
        # Nobody can tell what is secret in it.
        ('["4111"', "{}", "order_id=..."),
        ("[]", '{"a":1', "..."),
        ('"4111"', "[4111]", "order_id=..., ..."),
    ],
)
def test_arguments_have_the_names_of_the_signature(
    args: str, kwargs: str, found: str
) -> None:
    assert text(args, kwargs) == found


def test_what_is_registered_nowhere_has_no_names() -> None:
    assert text("[1,2]", '{"a":3}', name="nobody.knows") == "1, 2, a=3"


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ("[4", "order_id=..."),
        ("[4711", "order_id=..."),  # it may go on
        ("[4711,", "order_id=4711, currency=..."),
        ('[4711, "eur"', "order_id=4711, currency=..."),
        ('[4711, "eur" ,', "order_id=4711, currency='eur', card=..."),
        ('[4711,"eur","41111"', "order_id=4711, currency='eur', card=..."),
        ('[4711,"eur","41111"]', "order_id=4711, currency='eur', card=********"),
    ],
)
def test_of_a_value_that_was_cut_off_nothing_is_shown(stored: str, found: str) -> None:
    assert text(stored, cut=len(stored)) == found


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ('{"a', "..."),
        ('{"a"', "..."),
        ('{"a":', "..."),
        ('{"a":"x"', "..."),
        ('{"a":"x",', "a='x', ..."),
        ('{"a": "x", "card": "4111"}', "a='x', card=********"),
    ],
)
def test_the_same_holds_for_arguments_by_name(stored: str, found: str) -> None:
    assert text("", stored, cut=len(stored)) == f"order_id=..., {found}"


@pytest.mark.parametrize("longest", [4, 10, 20, 60])
def test_it_is_never_longer_than_asked_for(longest: int) -> None:
    many = "[" + ",".join(['"' + "x" * 50 + '"'] * 50) + "]"
    assert len(text(many, longest=longest)) <= longest
    assert len(text('["' + "x" * 500 + '"]', longest=longest)) <= longest


def test_a_value_of_a_hundred_thousand_levels_is_not_read() -> None:
    deep = "[" * 100_000
    assert text(deep) == "order_id=..."
    assert text(deep, cut=100_000) == "order_id=..."


def test_what_is_hidden_is_a_mark() -> None:
    [_, _, card] = arguments(Redaction("calls.pay"), '[1,"eur","4111"]', "{}")
    assert card == ("card", HIDDEN)
