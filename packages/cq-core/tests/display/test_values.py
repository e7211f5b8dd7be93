"""How stored values are shown: readable, without secrets, never too long."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.views.debug import SafeExceptionReporterFilter

from cq.codec import encode
from cq.display import redaction, values
from cq.display.redaction import HIDDEN, Redaction
from cq.display.values import LONGEST_READ, LONGEST_SHOWN
from cq.status import Status


def readable(stored: str | None) -> str:
    return values.readable(stored, Redaction("nobody knows").result)


def shown(value: Any) -> str:
    return readable(encode(value, size_limit=10**7, depth_limit=64))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, "a", None, True, 2.5], "[1, 'a', None, True, 2.5]"),
        ({"a": {"b": []}}, "{'a': {'b': []}}"),
        ((1, (2,)), "(1, (2,))"),
        ({1: 2, (3, 4): 5}, "{1: 2, (3, 4): 5}"),
        ({"$": 1}, "{'$': 1}"),
        ({7}, "set([7])"),
        (frozenset(["a"]), "frozenset(['a'])"),
        (Decimal("1.50"), "Decimal('1.50')"),
        (UUID(int=1), "UUID('00000000000000000000000000000001')"),
        (b"ab", "base64('YWI=')"),
        (date(2026, 1, 2), "date(2026-01-02)"),
        (time(3, 4), "time(03:04:00)"),
        (
            datetime(2026, 1, 2, tzinfo=UTC),
            "datetime(2026-01-02T00:00:00+00:00)",
        ),
        (timedelta(1, 2, 3), "timedelta(1, 2, 3)"),
        (Status.LOST, "Status.LOST"),
        ("\ud800", r"'\ud800'"),
        ("a\u202eb\u2028", r"'a\u202eb\u2028'"),  # nothing turns the text around
        ("<b>", "'<b>'"),  # escaped where it meets HTML
    ],
)
def test_what_the_codec_stored_reads_as_python(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ('[{"$":"task","v":3}]', "[<the result of dependency 3>]"),
        ('{"$":"tasks","v":[0,50]}', "<the results of 50 dependencies from 0>"),
        ('{"$":"group","v":"00"}', "<the results of its subtasks>"),
        ('{"$":"model","v":["auth.User",7,"default"]}', "<auth.User 7>"),
        # Of another version, or by another hand.
        ('{"$":"dict","v":[[1]]}', "<a dict that cannot be read>"),
        ('{"$":"timedelta","v":3}', "<a timedelta that cannot be read>"),
        ('{"$":"tuple","v":5}', "<a tuple that cannot be read>"),
        ('{"$":"later","v":[1]}', "{'$': 'later', 'v': [1]}"),
        ('{"$":1,"v":{}}', "{'$': 1, 'v': {}}"),
        ('{"$":"uuid"}', "{'$': 'uuid'}"),
        (None, ""),
    ],
)
def test_what_stands_for_something_else_says_so(stored: Any, text: str) -> None:
    assert readable(stored) == text


@pytest.mark.parametrize("stored", ["", "[1,", "nonsense", "[" * 100_000, "\x00"])
def test_text_that_is_no_value_is_described_not_shown(stored: str) -> None:
    text = readable(stored)
    assert text.startswith(f"[{len(stored):,} characters that cannot be read")
    assert "nonsense" not in text


SECRETS = ["password", "API_KEY", "apiKey", "auth", "secret", "my_token", "signature"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_value_under_a_secret_name_is_hidden_at_any_depth(name: str) -> None:
    value = [{"a": ({"b": {name: {"c": "tell"}}, "public": "keep"},)}]
    text = shown(value)
    assert "tell" not in text
    assert HIDDEN in text
    assert "keep" in text


def test_a_dict_with_other_keys_hides_as_well() -> None:
    assert (
        shown({(1, 2): 1, "password": "tell"}) == f"{{(1, 2): 1, 'password': {HIDDEN}}}"
    )


class Reporter(SafeExceptionReporterFilter):
    hidden_settings = re.compile("CARD", re.IGNORECASE)


def test_the_projects_own_filter_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    # Django keeps the filter for good once a page has asked for it.
    name = "get_default_exception_reporter_filter"
    monkeypatch.setattr(redaction, name, Reporter)
    assert shown({"card": 1, "password": 2}) == f"{{'card': {HIDDEN}, 'password': 2}}"


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        ["x" * 100] * 10_000,
        [[]] * 200_000,
        {f"k{n}": n for n in range(50_000)},
        [{"a": [1, 2, {"b": "c"}]}] * 20_000,
        {1: ["x" * 50_000] * 3},
    ],
    ids=["string", "strings", "empty lists", "keys", "nested", "pairs"],
)
def test_row_s12_a_page_never_gets_more_than_32_ki_characters(value: Any) -> None:
    text = shown(value)
    assert len(text) < LONGEST_SHOWN + 100
    assert text.endswith("characters are stored]")


def test_row_s12_a_value_beyond_all_limits_is_not_even_read() -> None:
    stored = json.dumps("x" * LONGEST_READ)
    assert readable(stored) == f"[{len(stored):,} characters, too many to be shown]"


def test_a_value_deeper_than_the_codec_stores_is_cut() -> None:
    text = readable("[" * 500 + "]" * 500)
    assert "..." in text
