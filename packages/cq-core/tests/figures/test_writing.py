"""How what was counted comes into the table."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.core import mail
from django.db import connection, transaction
from forced import NOW
from racing import race, rounds, until

from cq.figures import writer as module
from cq.figures.adding import MOST_AT_ONCE, add
from cq.figures.counter import COMPLETE, FAILED, MOST_NAMES
from cq.figures.reading import Figures
from cq.figures.steps import MINUTE, minute_of
from cq.figures.writer import FigureWriter, writer
from cq.models import Figure
from cq.tables.figure_columns import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

SLOT = minute_of(NOW)


def count(name: str = "one", queue: str = "default", minute: int = SLOT) -> None:
    key = ("default", minute, name, queue)
    writer.counter.succeeded(key, 0.5, 3.0)


def stored() -> dict[tuple[str, str], Figures]:
    rows = Figure.objects.filter(step=MINUTE).values_list("name", "queue", *NUMBERS)
    return {(name, queue): Figures.of(numbers) for name, queue, *numbers in rows}


@contextmanager
def without_the_table() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE cq_figures RENAME TO cq_gone")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE cq_gone RENAME TO cq_figures")


def test_rows_are_made_and_added_to() -> None:
    for _ in range(3):
        count()
    count("two", "mail")
    writer.flush()
    count()
    writer.counter.ended(("default", SLOT, "one", "default"), FAILED, timed_out=True)
    writer.flush()

    found = stored()
    one = found["one", "default"]
    assert (one.complete, one.failed, one.timed_out) == (4, 1, 1)
    assert (one.waited, one.took) == (pytest.approx(2.0), pytest.approx(12.0))
    assert (sum(one.waits), sum(one.durations)) == (4, 4)
    assert found["two", "mail"].complete == 1
    assert set(Figure.objects.values_list("slot", flat=True)) == {SLOT}


def test_names_are_told_apart_as_they_are_written() -> None:
    names = ["mail", "Mail", "mail ", "máil", "100% of 'mail'", "%s", "\U0001f4e8"]
    for _ in range(2):
        for name in names:
            count(name, name)
        writer.flush()
    assert {name: of.complete for (name, _), of in stored().items()} == dict.fromkeys(
        names, 2
    )


def test_one_statement_writes_all_that_few_minutes_have(
    django_assert_num_queries: Any,
) -> None:
    for number in range(MOST_AT_ONCE):
        count(f"name {number}")
    with django_assert_num_queries(1):
        writer.flush()
    for number in range(MOST_NAMES):
        count(f"name {number}")
    with django_assert_num_queries(2):
        writer.flush()
    assert len(stored()) == MOST_NAMES


def test_where_nothing_was_counted_nothing_is_written(
    django_assert_num_queries: Any,
) -> None:
    with django_assert_num_queries(0):
        assert 0 < writer.flush() <= 30


def test_who_writes_the_same_rows_at_once_adds_up() -> None:
    keys = [("default", SLOT + n % 2, f"n{n}", "default") for n in range(20)]
    ones = [1.0] * len(NUMBERS)
    tries = rounds(20)

    def write(backwards: bool) -> Any:
        rows = [(key, ones) for key in keys]
        # Whatever order they were counted in.
        return lambda _: add("default", rows[::-1] if backwards else rows)

    race([None] * tries, write(False), write(True), write(False))

    found = stored()
    assert len(found) == 20
    assert {of.complete for of in found.values()} == {3 * tries}
    assert {of.waits[-1] for of in found.values()} == {3 * tries}


def test_what_cannot_be_written_is_kept_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "cq.figures")
    with without_the_table():
        for _ in range(3):
            count()
            writer.flush()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cq_figures is missing; run manage.py migrate" in caplog.text

    writer.flush()

    assert stored()["one", "default"].complete == 3
    assert "figures are written again" in caplog.text


def test_in_somebodys_transaction_a_failure_does_no_harm() -> None:
    count()
    with without_the_table(), transaction.atomic():
        writer.flush()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
    writer.flush()
    assert stored()["one", "default"].complete == 1


# --- the thread -----------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[FigureWriter]:
    """A writer of a process that is no test, and no worker."""
    monkeypatch.delattr(mail, "outbox", raising=False)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_WRITES", 0.01)
    monkeypatch.setattr(module, "SECONDS_ON_SQLITE", 0.01)
    made = FigureWriter()
    yield made
    made.close(30)


def test_without_a_worker_a_thread_writes_and_goes_when_there_is_no_more(
    alone: FigureWriter,
) -> None:
    for expected in (1, 2):
        alone.counter.ended(("default", SLOT, "one", "default"), COMPLETE)
        found = until(
            lambda: stored().get(("one", "default")) and not alone._thread, "a write"
        )
        assert found
        assert stored()["one", "default"].complete == expected


def test_at_the_end_of_the_process_the_rest_is_written(
    alone: FigureWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_WRITES", 3600.0)
    monkeypatch.setattr(module, "SECONDS_ON_SQLITE", 3600.0)
    alone.counter.ended(("default", SLOT, "one", "default"), COMPLETE)
    assert alone._thread is not None

    alone.close(30)

    assert stored()["one", "default"].complete == 1
    assert alone._thread is None


def test_beside_a_worker_that_writes_there_is_no_thread(alone: FigureWriter) -> None:
    alone.attach()
    alone.counter.ended(("default", SLOT, "one", "default"), COMPLETE)
    assert alone._thread is None
    alone.detach()
    alone.flush()
    assert stored()["one", "default"].complete == 1


def test_in_tests_there_is_none_for_the_database_goes_with_them() -> None:
    mine = FigureWriter()
    mine.counter.ended(("default", SLOT, "one", "default"), COMPLETE)
    assert mine._thread is None
