"""Text that any database stores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cq.text import brief, cut_off, storable

#: (what, text, limit, what is stored)
SHOWN = [
    ("as it is", "plain ünïcode \U0001f600", 100, "plain ünïcode \U0001f600"),
    ("NUL is shown as its escape", "a\x00b", 100, "a\\x00b"),
    ("so is a lone surrogate", "a\ud800b", 100, "a\\ud800b"),
    ("a pair of them too", "\ud83d\ude00", 100, "\\ud83d\\ude00"),
    ("control characters are left", "a\x1b[31m\x07\tb\n", 100, "a\x1b[31m\x07\tb\n"),
    ("as long as allowed", "x" * 100, 100, "x" * 100),
    (
        "one more: the middle goes",
        "a" * 50 + "b" * 51,
        100,
        "a" * 32 + "\n[... 37 characters left out ...]\n" + "b" * 32,
    ),
]


@pytest.mark.parametrize(
    ("text", "limit", "stored"), [r[1:] for r in SHOWN], ids=[r[0] for r in SHOWN]
)
def test_what_is_stored(text: str, limit: int, stored: str) -> None:
    assert storable(text, limit) == stored


def test_what_is_no_text_is_stored_as_its_text() -> None:
    assert storable(ValueError("no"), 100) == "no"  # type: ignore[arg-type]


def test_a_number_of_more_digits_than_python_writes_can_be_refused() -> None:
    assert brief([10**5000]) == f"[<an int of {(10**5000).bit_length()} bits>]"


@given(st.text(st.characters(exclude_categories=()), max_size=400), st.integers(1, 300))
def test_row_62_any_text_is_storable_within_its_limit(text: str, limit: int) -> None:
    stored = storable(text, limit)

    assert len(stored) <= limit
    assert "\x00" not in stored
    assert stored.encode().decode() == stored


@pytest.mark.parametrize(
    ("text", "longest", "shown"),
    [
        ("", 0, ""),
        ("as long as allowed", 18, "as long as allowed"),
        ("one more than that", 17, "one more than ..."),
        ("no room for more", 3, "..."),
    ],
)
def test_what_is_cut_off_says_so_within_its_limit(
    text: str, longest: int, shown: str
) -> None:
    assert cut_off(text, longest) == shown
