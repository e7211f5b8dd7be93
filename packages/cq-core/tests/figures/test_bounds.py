"""What a reading costs: one statement each, by an index, however much is kept."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from forced import NOW
from plans import analyze, plan, reads_all

import cq
from cq.figures.comparing import beside, by_slots, earlier
from cq.figures.depths import found_at, history
from cq.figures.folding import fold_depths, fold_figures, prune_marks
from cq.figures.marks import marks_in
from cq.figures.reading import by_name, by_queue, by_slot, in_all
from cq.figures.steps import DAY, DEPTHS_KEPT, FIGURES_KEPT, Span, minute_of, slot_of
from cq.models import Depth, Figure, Mark
from cq.tables.figure_columns import DURATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db

DB = "default"
PRESENT = minute_of(NOW)
HOUR = Span.last(timedelta(hours=1), NOW)
A_WEEK_AGO = earlier(HOUR, 7 * DAY, NOW)
READINGS: dict[str, Callable[[], Any]] = {
    "by slot": lambda: by_slot(DB, HOUR),
    "by slot of a name": lambda: by_slot(DB, HOUR, name="name 3", queue="default"),
    "by name": lambda: by_name(DB, HOUR),
    "by queue": lambda: by_queue(DB, HOUR),
    "in all": lambda: in_all(DB, HOUR),
    "in all, of two": lambda: in_all(DB, HOUR, A_WEEK_AGO, name="name 3"),
    "two by slot": lambda: by_slots(DB, HOUR, A_WEEK_AGO),
    "two by slot of a name": lambda: by_slots(DB, HOUR, A_WEEK_AGO, name="name 3"),
    "two beside each other": lambda: (
        beside(DB, HOUR[:2], A_WEEK_AGO[:2], buckets=DURATIONS, of=1).pairs
    ),
    "depths": lambda: found_at(DB, NOW),
    "depths of long ago": lambda: found_at(DB, NOW - timedelta(days=20)),
    "history": lambda: history(DB, HOUR, ["q1", "q2"]),
    "marks": lambda: marks_in(DB, HOUR),
}
#: Nothing is old enough, and each asks once for each step.
FOLDS: dict[str, tuple[int, Callable[[], Any]]] = {
    "figures": (4, lambda: fold_figures(DB, NOW)),
    "depths": (2, lambda: fold_depths(DB, NOW)),
    "marks": (1, lambda: prune_marks(DB, NOW)),
}


@pytest.fixture
def _all_that_is_kept(db: None) -> None:
    """Some names and queues that never rest."""
    rows: list[Any] = [
        Figure(step=step, slot=slot, name=f"name {n}", queue="default", complete=1)
        for step, kept in FIGURES_KEPT.items()
        for slot in range(slot_of(PRESENT - kept, step) + step, PRESENT + 1, step)
        for n in range(5)
    ]
    Figure.objects.bulk_create(rows, 500)
    rows = [
        Depth(step=step, slot=slot, queue=queue, waiting=1)
        for step, kept in DEPTHS_KEPT.items()
        for slot in range(slot_of(PRESENT - kept, step) + step, PRESENT + 1, step)
        for queue in ("", "q1", "q2")
    ]
    Depth.objects.bulk_create(rows, 500)
    Mark.objects.bulk_create(
        [Mark(time=NOW - timedelta(hours=n), text=f"v{n}") for n in range(2_000)], 500
    )
    analyze("cq_figures", "cq_depths", "cq_marks")


@contextmanager
def noted(statements: list[tuple[str, Any]]) -> Iterator[None]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield


@pytest.mark.usefixtures("_all_that_is_kept")
def test_each_reading_is_one_statement_by_an_index() -> None:
    for name, reading in READINGS.items():
        statements: list[tuple[str, Any]] = []
        with noted(statements):
            assert reading(), name
        assert len(statements) == 1, name
        found = plan(*statements[0])
        assert not reads_all(found), (name, found)

    for name, (most, fold) in FOLDS.items():
        statements = []
        with noted(statements):
            assert fold() == 0, name
        assert len(statements) == most, name
        for sql, params in statements:
            found = plan(sql, params)
            assert not reads_all(found), (name, found)


def test_a_mark_is_one_statement() -> None:
    statements: list[tuple[str, Any]] = []
    with noted(statements):
        cq.mark("v42")
    assert len(statements) == 1
