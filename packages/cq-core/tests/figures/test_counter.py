"""What a process keeps in memory of the runs that end in it."""

from __future__ import annotations

import math
import random
import sys
import threading
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.test import override_settings

from cq.figures import counter as module
from cq.figures.counter import COMPLETE, FAILED, RETRIED, Counter
from cq.figures.percentiles import percentile
from cq.figures.reading import Figures
from cq.tables.figure_columns import BOUNDS, NUMBERS, OTHERS

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = 31_000_000


def key(name: str = "one", queue: str = "default", minute: int = MINUTE) -> module.Key:
    return ("default", minute, name, queue)


def run(waited: float = 0.0, took: float = 0.003) -> module.Returned:
    started = datetime.fromtimestamp(MINUTE * 60, UTC)
    could = started - timedelta(seconds=waited)
    return ("default", "one", "default", started, could, took)


def test_runs_of_many_threads_are_all_counted() -> None:
    counter = Counter(lambda: None)

    def count() -> None:
        for number in range(5_000):
            counter.succeeded(key(), number / 1000, 0.003)
            counter.ended(key("other"), FAILED, timed_out=number % 2 == 0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    rows = counter.take()
    one, other = (Figures.of(rows[key(name)]) for name in ("one", "other"))
    assert (one.complete, sum(one.waits), sum(one.durations)) == (20_000,) * 3
    assert one.durations[bisect_left(BOUNDS, 0.003)] == 20_000
    assert one.took == pytest.approx(60)
    assert (other.failed, other.timed_out, other.runs) == (20_000, 10_000, 20_000)
    assert not any(other.waits + other.durations)
    assert not counter


def taken_while(counter: Counter, count: Callable[[], None]) -> Figures:
    """What is taken of a counter while three threads count."""
    taken = Figures()
    done = threading.Event()

    def write() -> None:
        nonlocal taken
        while not done.is_set() or counter:
            for numbers in counter.take().values():
                some = Figures.of(numbers)
                buckets = map(sum, zip(taken.waits, some.waits, strict=True))
                taken = Figures(taken.complete + some.complete, waits=(*buckets,))

    counting = [threading.Thread(target=count) for _ in range(3)]
    writing = threading.Thread(target=write)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in (writing, *counting):
            thread.start()
        for thread in counting:
            thread.join()
    finally:
        sys.setswitchinterval(before)
        done.set()
        writing.join()
    return taken


def test_what_is_counted_while_it_is_written_is_counted_once() -> None:
    counter = Counter(lambda: None)

    def count() -> None:
        for number in range(20_000):
            counter.succeeded(key(), number / 1000, 0.003)

    taken = taken_while(counter, count)

    assert (taken.complete, sum(taken.waits)) == (60_000, 60_000)


def test_runs_that_have_returned_are_counted_once_each() -> None:
    counter = Counter(lambda: None)

    def count() -> None:
        for number in range(20_000):
            counter.returned(run(number / 1000))

    taken = taken_while(counter, count)

    assert (taken.complete, sum(taken.waits)) == (60_000, 60_000)


def test_a_run_that_has_returned_is_in_the_minute_of_its_end() -> None:
    counter = Counter(lambda: None)
    counter.returned(run(waited=2.5, took=59.0))
    counter.returned(run(waited=-1.0, took=61.0))
    rows = {key[1]: Figures.of(row) for key, row in counter.take().items()}
    assert [*rows] == [MINUTE, MINUTE + 1]
    first, second = rows.values()
    assert (first.waited, first.took) == (2.5, 59.0)
    assert (second.waited, second.took) == (0.0, 61.0)


def test_runs_that_have_returned_are_added_up_while_nobody_writes() -> None:
    said: list[int] = []
    counter = Counter(lambda: said.append(1))
    for _ in range(5 * module.RETURNED_AT_ONCE + 3):
        counter.returned(run())
        assert len(counter._returned) <= module.RETURNED_AT_ONCE
    assert counter
    assert said == [1]
    assert counter.take()[key()][COMPLETE] == 5 * module.RETURNED_AT_ONCE + 3
    assert not counter
    counter.returned(run())
    assert said == [1, 1]


@override_settings(CQ_FIGURES=False)
def test_none_are_kept_where_there_are_to_be_no_figures() -> None:
    said: list[int] = []
    counter = Counter(lambda: said.append(1))
    counter.returned(run())
    counter.succeeded(key(), 0.0, 1.0)
    assert not counter
    assert not said


def test_it_says_that_there_is_something_when_there_was_nothing() -> None:
    said: list[int] = []
    counter = Counter(lambda: said.append(1))
    for _ in range(3):
        counter.ended(key(), COMPLETE)
    assert len(said) == 1
    taken = counter.take()
    counter.put_back(taken)
    counter.ended(key(), COMPLETE)
    assert len(said) == 1
    assert counter.take()[key()][COMPLETE] == 4


def test_what_could_not_be_written_is_added_to_what_came_meanwhile() -> None:
    counter = Counter(lambda: None)
    counter.succeeded(key("old"), None, 2.0)
    counter.succeeded(key(), None, 1.0)
    taken = counter.take()
    counter.ended(key(), RETRIED)
    counter.ended(key("new"), FAILED)

    assert counter.put_back(taken) == 0

    rows = {
        name: Figures.of(numbers) for (_, _, name, _), numbers in counter.take().items()
    }
    assert (rows["one"].complete, rows["one"].retried, rows["one"].took) == (1, 1, 1.0)
    assert (rows["old"].took, rows["new"].failed) == (2.0, 1)


def test_names_beyond_the_first_are_others_of_their_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 3)
    monkeypatch.setattr(module, "MOST_OTHER_QUEUES", 2)
    counter = Counter(lambda: None)
    for _ in range(2):
        for number in range(6):
            counter.ended(key(f"n{number}", f"q{number}"), COMPLETE)

    found = {
        (name, queue): row[COMPLETE]
        for (_, _, name, queue), row in counter.take().items()
    }
    own = {(f"n{n}", f"q{n}"): 2 for n in range(3)}
    by_queue = {(OTHERS, "q3"): 2, (OTHERS, "q4"): 2}
    assert found == {**own, **by_queue, (OTHERS, OTHERS): 2}

    # The next hour has room for others.
    counter.ended(key("n5", "q5", MINUTE + 60), COMPLETE)
    assert [*counter.take()] == [key("n5", "q5", MINUTE + 60)]


def test_where_nobody_writes_the_oldest_rows_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    counter = Counter(lambda: None)
    for minute in range(15):
        counter.ended(key(minute=minute), COMPLETE)
    taken = counter.take()
    assert [minute for _, minute, _, _ in taken] == [*range(5, 15)]

    for minute in range(20, 24):
        counter.ended(key(minute=minute), COMPLETE)
    assert counter.put_back(taken) == 4
    left = [minute for _, minute, _, _ in counter.take()]
    assert left == [*range(9, 15), *range(20, 24)]


# --- percentiles ----------------------------------------------------------------------


def buckets(values: list[float]) -> list[int]:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_left(BOUNDS, value)] += 1
    return counts


@pytest.mark.parametrize("count", [1, 2, 3, 20, 100, 5_000])
@pytest.mark.parametrize("share", [0.01, 0.07, 0.5, 0.95, 1.0])
def test_a_percentile_is_in_the_bucket_that_has_the_true_one(
    count: int, share: float
) -> None:
    rng = random.Random(count)
    values = sorted(10 ** rng.uniform(-4, 5.5) for _ in range(count))
    true = values[math.ceil(round(share * count, 6)) - 1]

    found = percentile(buckets(values), share)

    assert found is not None
    at = bisect_left(BOUNDS, true)
    if at == len(BOUNDS):
        assert found == BOUNDS[-1]
    else:
        assert bisect_left(BOUNDS, found) == at


def test_within_its_bucket_it_is_taken_linearly() -> None:
    of_four = buckets([1.5] * 4)
    assert percentile(of_four, 0.25) == pytest.approx(1.25)
    assert percentile(of_four, 0.5) == pytest.approx(1.5)
    assert percentile(buckets([]), 0.5) is None
    assert percentile(buckets([90_000.0]), 0.5) == 86_400


def test_a_row_has_a_number_for_each_column() -> None:
    assert len(NUMBERS) == 5 + 2 + 24 + 24
