"""What is typed into the search box, and what an address says several of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from cq import task
from cq.status import Status
from cq_admin.task_list.moments import moment
from cq_admin.task_list.several import joined, split
from cq_admin.task_list.terms import LONGEST_SEARCH, Terms, parse

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@task("terms.charge")
def charge(cqt: Any) -> None: ...


@task("terms.charge_back")
def charge_back(cqt: Any) -> None: ...


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("gateway  Timeout", {"words": ["gateway", "Timeout"]}),
        ('say "hi"', {"words": ["say", '"hi"']}),
        ("order_id:4711", {"paths": [("order_id", "4711")]}),
        ('customer.city:"New York"', {"paths": [("customer.city", "New York")]}),
        ("queue:mail,bulk queue:x", {"queues": {"mail", "bulk", "x"}}),
        ("status:LOST,failed", {"statuses": {Status.LOST, Status.FAILURE}}),
        ("name:terms.charge", {"names": {"terms.charge"}}),
        ("name:RMS.CHARGE", {"names": {"terms.charge", "terms.charge_back"}}),
        ("name:nobody_knows", {"name_parts": ["nobody_knows"]}),
        ("worker:web-1:4411", {"workers": ["web-1:4411"]}),
        ("error:Gateway", {"errors": ["Gateway"]}),
        ("since:2h", {"since": NOW - timedelta(hours=2)}),
        ("until:2026-07-01T06:00Z", {"until": datetime(2026, 7, 1, 6, tzinfo=UTC)}),
        # None of them is a prefix.
        ("https://example.org/x", {"words": ["https://example.org/x"]}),
        ("12:30", {"words": ["12:30"]}),
        ("name:", {"words": ["name:"]}),
        (":x", {"words": [":x"]}),
    ],
)
def test_a_search_has_terms(text: str, found: dict[str, Any]) -> None:
    assert parse(text, NOW) == Terms(**found)


@pytest.mark.parametrize("text", ["id:x", "status:broken", "since:soon", "until:9"])
def test_what_means_nothing_is_said(text: str) -> None:
    terms = parse(text, NOW)
    [problem] = terms.problems
    assert text.partition(":")[2] in problem


def test_an_id_is_found_by_its_beginning() -> None:
    whole = UUID("0193f0c2-1111-7222-8333-444455556666")
    for text in (str(whole), whole.hex, f" {whole} ", f"id:{whole}"):
        assert parse(text, NOW).ids == (whole, whole)
    first, last = parse("id:0193f0c2-1111", NOW).ids or (None, None)
    assert first == UUID("0193f0c2-1111-0000-0000-000000000000")
    assert last == UUID("0193f0c2-1111-ffff-ffff-ffffffffffff")


def test_a_search_of_a_hundred_thousand_characters_is_cut() -> None:
    [word] = parse("x" * 100_000, NOW).words
    assert len(word) == LONGEST_SEARCH


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-06-30", datetime(2026, 6, 29, 22, tzinfo=UTC)),
        ("2026-06-30T06:00", datetime(2026, 6, 30, 4, tzinfo=UTC)),
        ("2026-06-30 06:00+00:00", datetime(2026, 6, 30, 6, tzinfo=UTC)),
    ],
)
def test_a_moment_is_of_the_readers_clock(
    text: str, found: datetime, settings: Any
) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    assert moment(text, NOW) == found


@pytest.mark.parametrize(
    "text", ["", "x", "forever", "2026-13-01", "99999999d", "2026-06-30T25:00"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        moment(text, NOW)


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("a",),
        ("a", "b"),
        ("a,b", "c"),
        ("a\\", "b"),
        ("a\\,b", "\\,"),
        ("a/b#?..&=% \u202e",),
    ],
)
def test_several_values_survive_an_address(values: tuple[str, ...]) -> None:
    assert split([joined(values)]) == values


def test_a_parameter_may_be_there_several_times() -> None:
    assert split(["a,b", "b,c", ""]) == ("a", "b", "c")
    assert split([",".join(map(str, range(1000)))])[-1] == "199"
