"""Arguments by the names of their parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cq import task
from cq.display.calls import named_arguments
from cq.display.redaction import HIDDEN, Redaction

pytestmark = pytest.mark.backend("sqlite")  # no database is asked


@task("calls.charge")
def charge(
    cqt: Any, order_id: int, currency: str = "eur", *, token: str = ""
) -> None: ...


@task("calls.add")
def add(cqt: Any, first: int, *numbers: int, **more: int) -> None: ...


@task("calls.sign")
def sign(cqt: Any, *passwords: str) -> None: ...


def shown(name: str, args: Any, kwargs: Any = None) -> list[tuple[str, str]]:
    stored = json.dumps(args), json.dumps({} if kwargs is None else kwargs)
    return [tuple(found) for found in named_arguments(*stored, Redaction(name))]


def test_each_has_the_name_of_its_parameter() -> None:
    assert shown("calls.charge", [4711, "usd"], {"token": "t0p"}) == [
        ("order_id", "4711"),
        ("currency", "'usd'"),
        ("token", HIDDEN),
    ]


def test_what_one_parameter_takes_together_stands_together() -> None:
    assert shown("calls.add", [1, 2, 3], {"four": 4}) == [
        ("first", "1"),
        ("*numbers", "[2, 3]"),
        ("four", "4"),
    ]
    assert shown("calls.sign", ["a", "b"]) == [
        ("*passwords", f"[{HIDDEN}, {HIDDEN}]"),
    ]


def test_what_no_parameter_takes_is_shown_all_the_same() -> None:
    # Of another release, or of a task that this site does not have.
    assert shown("calls.charge", [1, "eur", 3, 4]) == [
        ("order_id", "1"),
        ("currency", "'eur'"),
        ("args", "[3, 4]"),
    ]
    assert shown("calls.of_other_code", [1, 2], {"a": 3}) == [
        ("args", "[1, 2]"),
        ("a", "3"),
    ]
    assert shown("calls.of_other_code", []) == []


def test_a_value_is_written_as_python_writes_it() -> None:
    moment = {"$": "datetime", "v": ["2030-01-01T00:00:00+00:00", 0]}
    assert shown("calls.charge", [{"$": "uuid", "v": "0a"}, moment])[0] == (
        "order_id",
        "UUID('0a')",
    )


def test_there_is_one_bound_for_all_of_them() -> None:
    found = shown("calls.add", ["x" * 40_000, "y" * 40_000], {"z": 1})
    assert sum(len(text) for _, text in found) < 34_000
    assert found[-1] == ("z", "...\n[cut; 80,016 characters are stored]")


@pytest.mark.parametrize("stored", ["", "{", "[" * 5000, '"text"', "7"])
def test_what_cannot_be_read_is_said(stored: str) -> None:
    found = named_arguments(stored, stored, Redaction("calls.charge"))
    assert [argument.name for argument in found] == ["args", "kwargs"]


def test_a_tag_is_no_name() -> None:
    (found,) = shown("calls.charge", [], {"$": "dict", "v": [["password", "s3cret"]]})
    assert found[0] == "kwargs"
    assert "s3cret" not in found[1]
