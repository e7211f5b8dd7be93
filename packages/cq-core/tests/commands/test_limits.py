"""``cq limits``: what it shows of named limits, sets of them, and takes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cq.cli.asker import asked_by
from cq.models import Limit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_LIMITS = {
        "stripe": {"rate": "90/s", "burst": 20, "concurrency": 8},
        "customers": {"concurrency": 2, "key": "customer:{customer}"},
    }


def cq(*arguments: str) -> str:
    output = StringIO()
    call_command("cq", *arguments, stdout=output)
    return output.getvalue()


def of_json(*arguments: str) -> Any:
    found = json.loads(cq("limits", *arguments, "--format", "json"))["limits"]
    return {row["limit"]: row for row in found}


def test_the_limits_of_the_settings_are_listed() -> None:
    found = of_json()

    assert list(found) == ["customers", "stripe"]
    assert found["stripe"] == {
        "limit": "stripe",
        "rate": "90/s",
        "burst": 20,
        "concurrency": 8,
        "key": "stripe",
        "running": 0,
        "waiting": 0,
        "more": False,
        "closed_until": None,
        "settings": {"rate": "90/s", "burst": 20, "concurrency": 8},
        "set": None,
        "since": None,
        "by": None,
        "reason": None,
    }
    assert found["customers"]["key"] == "customer:{customer}"
    assert "90/s" in cq("limits")
    assert "customers" not in cq("limits", "stripe")


def test_one_is_set_and_taken_back() -> None:
    said = cq("limits", "stripe", "--rate", "50/s", "--reason", "they throttle us")

    assert "limit 'stripe' is set; it holds within a second" in said
    assert "50/s (90/s)" in said
    found = of_json("stripe")["stripe"]
    assert (found["rate"], found["burst"], found["concurrency"]) == ("50/s", 20, 8)
    assert found["set"] == {"rate": "50/s", "burst": None, "concurrency": None}
    assert (found["by"], found["reason"]) == (
        asked_by("cq limits"),
        "they throttle us",
    )
    assert "they throttle us" in cq("limits")

    assert "is as the settings say" in cq("limits", "stripe", "--reset")
    assert not Limit.objects.exists()
    with pytest.raises(CommandError, match="nothing is set of limit 'stripe'"):
        cq("limits", "stripe", "--reset")


def test_several_numbers_are_set_at_once_and_others_stay() -> None:
    cq("limits", "stripe", "--burst", "5", "--concurrency", "1", "--by", "ann")
    found = of_json("stripe", "--rate", "5/m")["stripe"]
    assert (found["rate"], found["burst"], found["concurrency"]) == ("5/m", 5, 1)


def test_one_that_the_settings_have_no_more_is_shown_and_taken_back() -> None:
    Limit.objects.create(
        name="gone", concurrency=1, by="ann", since=datetime(2026, 1, 1, tzinfo=UTC)
    )
    found = of_json()["gone"]
    assert (found["settings"], found["set"]["concurrency"]) == (None, 1)
    assert found["concurrency"] is None
    assert "not in CQ_LIMITS" in cq("limits")
    cq("limits", "gone", "--reset")
    assert not Limit.objects.exists()


def test_without_any_it_says_so(settings: Any) -> None:
    settings.CQ_LIMITS = {}
    assert cq("limits") == "CQ_LIMITS names no limit\n"
    assert of_json() == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "5/s"], "name the limit"),
        (["--reset"], "name the limit"),
        (["stripe", "--rate", "5/s", "--reset"], "give numbers, or --reset; not both"),
        (["stripe", "--reason", "x"], "--reason is of what is set: give --rate"),
        (["stripe", "--by", "x", "--reset"], "--by is of what is set"),
        (["strip"], "there is no limit 'strip' in CQ_LIMITS; there are: 'customers', "),
        (["strip", "--burst", "2"], "there is no limit 'strip' in CQ_LIMITS"),
        (["strip", "--reset"], "there is no limit 'strip' in CQ_LIMITS"),
        (["stripe", "--rate", "fast"], "rate is 'fast', but must be"),
        (["stripe", "--concurrency", "0"], "concurrency is 0, but must be"),
        (["customers", "--burst", "2"], "burst is 2, but there is no rate"),
        (["stripe", "--burst", "2", "--reason", "x" * 1001], "reason is"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_set(
    arguments: list[str], said: str
) -> None:
    with pytest.raises(CommandError) as refused:
        cq("limits", *arguments)
    assert said in str(refused.value)
    assert not Limit.objects.exists()
