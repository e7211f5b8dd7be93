"""What somebody has put into a task, for who opens its export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from exported import lines, table, text_of

from cq.models import Tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from cq.models import Task

pytestmark = pytest.mark.django_db

EVIL = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "  =1+1",
    "\uff1d1",
    "a;=1",
    "a\n=1",
    "a\r\n=1",
    'a";=1',
    "a\t=1",
]


@pytest.mark.parametrize("text", EVIL)
def test_row_s7_no_cell_of_an_export_is_a_formula(
    staff: Client, row: Callable[..., Task], text: str
) -> None:
    made = row(
        name=text,
        queue=text,
        error=text,
        exception=text,
        args=json.dumps([text]),
        kwargs=json.dumps({text: text}),
        result="-1",
    )
    for tag in {text, "-1"}:
        Tag.objects.create(task=made, tag=tag)

    [found] = table(staff)

    for column, cell in found.items():
        for separator in (";", "\n", "\t"):
            for part in cell.split(separator):
                assert not part.lstrip(" ").startswith(
                    ("=", "+", "-", "@", "\r", "\uff1d")
                ), (column, cell)
    assert "\r" not in "".join(found.values())
    assert found["name"][0] in ("'", "\\", "a")
    # In a line of JSON it is what it was.
    [line] = lines(staff)
    assert (line["name"], line["args"], line["error"]) == (text, [text], text)


def test_what_cannot_be_seen_is_shown_and_what_is_no_text_stops_nothing(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(
        name="a\u202eb",
        error="\x1b[31mred\u2028\ufeff",
        args='["\\ud800", "\\u0000", "\u202e"]',
    )
    text = text_of(staff, "csv")
    for sign in "\x1b\u202e\u2028\ufeff\x00":
        assert sign not in text
    assert "a\\u202eb" in text
    assert "\\x1b[31mred" in text
    [line] = lines(staff)
    assert line["args"] == ["\ud800", "\x00", "\u202e"]
    assert line["name"] == "a\u202eb"
    assert text_of(staff, "ndjson").isascii()


def test_a_long_hostile_text_takes_no_time(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(error="\n" * 4_000, args=json.dumps([" ;" * 4_900]))
    [found] = table(staff)
    assert len(found["error"]) == 4_000
