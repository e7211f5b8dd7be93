"""Hours and days that are added up ahead: the same figures, of far fewer rows."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from forced import NOW
from plans import analyze, plan, reads_all

from cq.figures.adding import add
from cq.figures.ahead import KEPT, MOST_SLOTS, add_up, within
from cq.figures.comparing import beside, by_slots, earlier
from cq.figures.folding import fold_figures
from cq.figures.reading import by_name, by_queue, by_slot, in_all
from cq.figures.steps import (
    DAY,
    FIGURES_KEPT,
    MINUTE,
    Span,
    minute_of,
    moment_of,
    slot_of,
)
from cq.models import Figure
from cq.tables.figure_columns import DURATIONS, NUMBERS

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
PRESENT = minute_of(NOW)
SPANS = [
    Span.last(timedelta(hours=1), NOW),
    Span.last(timedelta(days=1), NOW),
    Span.last(timedelta(days=7), NOW),
    Span.last(timedelta(days=30), NOW),
    Span.between(NOW - timedelta(days=3, hours=5), NOW - timedelta(hours=7), NOW),
    Span.between(NOW - timedelta(days=20), NOW - timedelta(days=1), NOW),
]


def fill(seed: int = 3) -> None:
    """What is kept: of each step some slots, and in some hours nothing."""
    rng = random.Random(seed)
    rows: list[Any] = []
    finer = 0
    for step, kept in FIGURES_KEPT.items():
        last, first = slot_of(PRESENT - finer, step), slot_of(PRESENT - kept, step)
        for slot in range(last if finer else PRESENT + 1, first, -step):
            if (finer and slot == last) or rng.random() < 0.4:
                continue
            rows += [
                Figure(
                    step=step,
                    slot=slot,
                    name=f"name {n}",
                    queue=rng.choice(["default", "mail"]),
                    complete=rng.randrange(50),
                    failed=rng.randrange(3),
                    took=float(rng.randrange(9)),
                    w03=rng.randrange(9),
                    d07=rng.randrange(9),
                )
                for n in range(3)
            ]
        finer = kept
    Figure.objects.bulk_create(rows, 500)


def readings() -> list[Any]:
    found: list[Any] = []
    for span in SPANS:
        found += [by_slot(DB, span), by_name(DB, span), by_queue(DB, span)]
        found += [in_all(DB, span, name="name 1"), by_slot(DB, span, queue="mail")]
        before = earlier(span, 7 * DAY, NOW)
        found.append(by_slots(DB, span, before))
        ranges = [span[:2], before[:2], (PRESENT - 9, PRESENT + 1)]
        found.append(beside(DB, *ranges, buckets=DURATIONS, of=2).pairs)
    return found


def rows_within(since: int, until: int, finest: int = DAY) -> int:
    where = within(since, until, finest)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM cq_figures WHERE {where}")
        return int(cursor.fetchone()[0])


def add_all_up(now: Any = NOW) -> int:
    count = 0
    while found := add_up(DB, now):
        count += found
    return count


def test_every_span_says_the_same_of_far_fewer_rows() -> None:
    fill()
    month = PRESENT - 30 * DAY, PRESENT + 1
    before, rows = readings(), rows_within(*month)
    assert add_all_up() > 0
    assert readings() == before
    assert rows_within(*month) < rows / 4
    # A chart by the minute wants minutes.
    assert rows_within(*month, MINUTE) == rows


def test_they_say_the_same_while_what_they_repeat_is_folded() -> None:
    fill()
    add_all_up(NOW - timedelta(hours=5))
    before, month = readings(), by_slot(DB, SPANS[3])
    while fold_figures(DB, NOW) or add_up(DB, NOW):
        assert readings() == before
    # By then the minutes have become hours, and some hours days.
    later = NOW + timedelta(days=3)
    while fold_figures(DB, later) or add_up(DB, later):
        assert by_slot(DB, SPANS[3]) == month


def test_what_is_counted_late_is_in_them() -> None:
    now = int(time.time()) // 60
    slot = slot_of(now - 2 * DAY, DAY)
    zeros = [0] * len(NUMBERS)
    ended = [*zeros]
    ended[NUMBERS.index("complete")] = 1

    def runs() -> int:
        span = Span(slot, slot + 3 * DAY, DAY, 3 * DAY)
        return sum(figures.runs for _, figures in by_slot(DB, span))

    add(DB, [((DB, slot + 61, "late", "default"), tuple(ended))])
    add_all_up(moment_of(now))
    assert Figure.objects.filter(step__lt=0).exists()
    add(DB, [((DB, slot + 62, "late", "default"), tuple(ended))])
    assert runs() == 2
    add_all_up(moment_of(now))
    assert Figure.objects.filter(step=-DAY).get().complete == runs() == 2
    # What comes as it should leaves them alone.
    add(DB, [((DB, now, "late", "default"), tuple(ended))])
    assert Figure.objects.filter(step=-DAY).exists()
    assert runs() == 3


def test_they_go_when_what_they_repeat_is_folded() -> None:
    fill()
    add_all_up()
    later = NOW + timedelta(days=40)
    for _ in range(200):
        add_up(DB, later)
    for step, kept in KEPT.items():
        oldest = slot_of(minute_of(later) - kept, step)
        assert not Figure.objects.filter(step=-step, slot__lt=oldest).exists()


def test_a_pass_is_bounded_and_where_nothing_ran_it_is_two_looks_a_step() -> None:
    statements: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith("SET"):  # as a connection begins on MariaDB
            statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert add_up(DB, NOW) == 0
    assert len(statements) == 2 * len(KEPT)
    fill()
    statements.clear()
    with connection.execute_wrapper(note):
        assert add_up(DB, NOW) > 0
    assert len(statements) <= len(KEPT) * (2 * MOST_SLOTS + 2)


def test_a_month_is_read_by_an_index() -> None:
    fill()
    add_all_up()
    analyze("cq_figures")
    month = SPANS[3]
    for sql in (
        f"SELECT slot, SUM(complete) FROM cq_figures WHERE "
        f"{within(month.since, month.until, month.step)} GROUP BY slot",
        f"SELECT name, SUM(complete) FROM cq_figures WHERE "
        f"{within(month.since, month.until)} GROUP BY name",
    ):
        assert not reads_all(found := plan(sql, None)), found
