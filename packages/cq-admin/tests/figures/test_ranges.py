"""The range of an address, words and the order of a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import QueryDict

from cq.figures.steps import DAY, HOUR, MINUTE, TEN_MINUTES
from cq_admin.charts.scale import Scale, top_of
from cq_admin.charts.sparkline import sparkline
from cq_admin.figures.ranges import comparisons, lengths, read
from cq_admin.figures.sorting import Column, table
from cq_admin.figures.words import about, at_least, change, growth, rate, share

NOW = datetime(2030, 6, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "minutes", "step"),
    [
        ("", 60.5, MINUTE),
        ("range=day", 1440.5, TEN_MINUTES),
        ("range=week", 7 * 1440.5, HOUR),
        ("range=month", 30 * 1440.5, DAY),
        # The two hours before are folded.
        ("since=2h", 120.5, TEN_MINUTES),
        ("since=2030-06-01T11:00Z&until=2030-06-01T11:30Z", 30, MINUTE),
        # The end of it has not come.
        ("since=30m&until=2031-01-01", 30.5, MINUTE),
    ],
)
def test_a_range_is_in_the_step_that_charts_have_room_for(
    query: str, minutes: float, step: int
) -> None:
    found = read(QueryDict(query), NOW)
    assert found.span.step == step
    assert found.minutes == pytest.approx(minutes, abs=step)
    assert len(found.span.slots) <= 181


def test_the_link_of_a_range_keeps_the_rest_of_the_address() -> None:
    query = QueryDict("since=2h&tasks=-failed&compare=week")
    found = {choice.label: choice for choice in lengths(query, read(query, NOW))}
    assert found["Day"].query == "?tasks=-failed&compare=week&range=day"
    assert not any(choice.is_current for choice in found.values())
    [current] = [c for c in comparisons(query, read(query, NOW)) if c.is_current]
    assert current.label == "the same span a week before"


def test_words_of_figures() -> None:
    assert rate(1_204.2) == "1,204/min"
    assert rate(0.25) == "0.2/min"
    assert rate(None) == "-"
    assert growth(310) == "+310/min"
    assert growth(-4.5) == "-4.5/min"
    assert growth(0.0) == "0/min"
    assert change(14, 1) == "+1,300\xa0%"
    assert change(98, 100) == "-2\xa0%"
    assert change(1, 1) == "0\xa0%"
    assert change(1, 0) == "new"
    assert change(0, 0) == "-"
    assert share(1, 3) == "33.3\xa0%"
    assert share(0, 0) == "-"
    assert about(2.04) == "~2\xa0s"
    assert about(None) == "-"
    assert at_least(100_000, more=True) == "100,000+"


def test_a_table_puts_what_is_unknown_last() -> None:
    columns = [
        Column("name", "Name", str, str, first=False),
        Column("value", "Value", str, lambda row: None if row == "x" else row),
    ]

    def rows(query: str) -> list[Any]:
        found = table(QueryDict(query), "t", columns, "bxa", "-value")
        return [row[0] for row in found.rows]

    assert rows("") == rows("t=-value") == rows("t=?") == ["b", "a", "x"]
    assert rows("t=value") == ["a", "b", "x"]
    assert rows("t=name") == ["a", "b", "x"]
    heads = table(QueryDict("t=name&o=1"), "t", columns, "ab", "-value").heads
    assert [head.order for head in heads] == ["ascending", ""]
    assert [head.query for head in heads] == ["?t=-name&o=1", "?t=-value&o=1"]


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (0.03, 0.05), (1, 1), (1.2, 2), (40, 50), (501, 1000)]
)
def test_the_top_of_a_scale_is_a_round_number(highest: float, top: float) -> None:
    assert top_of(highest) == pytest.approx(top)
    scale = Scale(NOW - timedelta(hours=1), NOW, top_of(highest))
    assert scale.y(0) > scale.y(highest or 1) >= scale.y(top)
    # What is beyond the ends of it stands at them.
    assert scale.x(NOW + timedelta(days=1)) == scale.x(NOW)


def test_a_sparkline_is_interrupted_where_there_is_nothing() -> None:
    assert str(sparkline([None, 1, 2, None, 3], '"<')).count("M") == 2
    assert "&quot;&lt;" in sparkline([1], '"<')
    assert ' d=""' in sparkline([None], "")
