"""A hundred thousand runs of known duration and waiting, from minutes to days."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
from django.db.models import Count, Sum
from forced import NOW
from racing import race

from cq.figures.adding import MOST_AT_ONCE
from cq.figures.counter import COMPLETE, FAILED, LOST, RETRIED
from cq.figures.folding import fold_figures
from cq.figures.reading import Compared, Figures, by_name, by_queue, by_slot, in_all
from cq.figures.steps import DAY, FIGURES_KEPT, HOUR, Span, minute_of, moment_of
from cq.figures.writer import writer
from cq.models import Figure
from cq.tables.figure_columns import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
PRESENT = minute_of(NOW)
RUNS = 100_000
#: How far back runs go, so that each step has some.
AGES = (2 * HOUR, 40 * HOUR, 13 * DAY, 100 * DAY)
SPANS = {
    "an hour": timedelta(hours=1),
    "a day": timedelta(days=1),
    "a week": timedelta(days=7),
    "a month": timedelta(days=30),
}


class Known(NamedTuple):
    minute: int
    name: str
    queue: str
    end: int
    waited: float
    took: float


def made(count: int) -> list[Known]:
    rng = random.Random(7)
    minutes = [PRESENT - rng.randrange(age) for age in AGES for _ in range(150)]
    return [
        Known(
            rng.choice(minutes),
            f"name {rng.randrange(3)}",
            rng.choice(["default", "mail"]),
            rng.choices([COMPLETE, FAILED, RETRIED, LOST], [90, 5, 4, 1])[0],
            10 ** rng.uniform(-4, 3),
            10 ** rng.uniform(-3.5, 5.2),
        )
        for _ in range(count)
    ]


def feed(runs: Iterable[Known]) -> None:
    for run in runs:
        key = (DB, run.minute, run.name, run.queue)
        if run.end == COMPLETE:
            writer.counter.succeeded(key, run.waited, run.took)
        else:
            writer.counter.ended(key, run.end, timed_out=run.end == FAILED)
    writer.flush()


def fold_all(now: object = NOW) -> int:
    count = 0
    while found := fold_figures(DB, now):  # type: ignore[arg-type]
        count += found
    return count


def assert_is(found: Figures, runs: list[Known]) -> None:
    """The counts are exact, and the percentiles in the buckets of the true ones."""
    ends = Counter(run.end for run in runs)
    assert found.runs == len(runs)
    assert (found.complete, found.failed, found.retried, found.lost) == (
        *(ends[end] for end in (COMPLETE, FAILED, RETRIED, LOST)),
    )
    assert found.timed_out == ends[FAILED]
    done = [run for run in runs if run.end == COMPLETE]
    assert found.took == pytest.approx(sum(run.took for run in done))
    assert found.waited == pytest.approx(sum(run.waited for run in done))
    for values, counts, about in (
        (sorted(run.took for run in done), found.durations, found.duration),
        (sorted(run.waited for run in done), found.waits, found.wait),
    ):
        in_buckets = Counter(bisect_left(BOUNDS, value) for value in values)
        assert list(counts) == [in_buckets[at] for at in range(len(BOUNDS) + 1)]
        for share in (0.5, 0.95):
            if not values:
                assert about(share) is None
                continue
            true = bisect_left(BOUNDS, values[math.ceil(share * len(values)) - 1])
            estimate = about(share)
            assert estimate is not None
            # The last bucket has no end: its beginning is the bound of the one before.
            assert bisect_left(BOUNDS, estimate) == min(true, len(BOUNDS) - 1)


def within(runs: list[Known], since: int, until: int) -> list[Known]:
    return [run for run in runs if since <= run.minute < until]


def assert_reads(runs: list[Known]) -> None:
    """Each reading of each span says what happened then, whatever is folded."""
    for length in SPANS.values():
        span = Span.last(length, NOW)
        now = within(runs, span.since, span.until)
        before = within(runs, span.before, span.since)
        of_slot = defaultdict(list)
        for run in now:
            of_slot[run.minute - run.minute % span.step].append(run)

        whole = in_all(DB, span)[0]
        assert_is(whole.now, now)
        assert_is(whole.before, before)
        slots = by_slot(DB, span)
        assert len(slots) <= 181
        assert [moment for moment, _ in slots] == [moment_of(s) for s in span.slots]
        for moment, found in slots:
            assert_is(found, of_slot[minute_of(moment)])
        for name, compared in by_name(DB, span, queue="mail").items():
            mine = [run for run in now if (run.name, run.queue) == (name, "mail")]
            assert_is(compared.now, mine)
        for queue, compared in by_queue(DB, span).items():
            assert_is(compared.before, [run for run in before if run.queue == queue])


def test_counts_are_exact_from_minutes_to_hours_to_days() -> None:
    runs = made(RUNS)
    feed(runs)
    assert set(Figure.objects.values_list("step", flat=True)) == {1}
    assert Figure.objects.count() > 3 * MOST_AT_ONCE
    assert_reads(runs)

    assert fold_all() > 0

    steps = dict(Figure.objects.values_list("step").annotate(Count("pk")))
    assert set(steps) == {1, 10, 60, 1440}
    for step, kept in FIGURES_KEPT.items():
        coarser = {1: 10, 10: 60, 60: 1440, 1440: 1440}[step]
        oldest = PRESENT - kept
        assert not Figure.objects.filter(
            step=step, slot__lt=oldest - oldest % coarser
        ).exists()
    assert_reads(runs)

    assert fold_all() == 0
    later = NOW + timedelta(days=20)
    fold_all(later)
    assert set(Figure.objects.values_list("step", flat=True)) == {1440}
    span = Span.last(timedelta(days=150), later)
    assert_is(in_all(DB, span)[0].now, runs)


def test_failures_do_not_move_the_durations() -> None:
    runs = [run for run in made(2_000) if run.end == COMPLETE]
    feed(runs)
    span = Span.last(timedelta(days=150), NOW)
    before = in_all(DB, span)[0].now
    feed(run._replace(end=FAILED, took=1e6) for run in runs)
    fold_all()
    after = in_all(DB, span)[0].now
    assert after.failed == len(runs)
    assert (after.durations, after.waits) == (before.durations, before.waits)


def test_a_row_that_comes_late_is_folded_with_the_others() -> None:
    old = Known(PRESENT - 5 * HOUR, "name", "default", COMPLETE, 1.0, 2.0)
    feed([old])
    fold_all()
    assert Figure.objects.get().step == 10
    feed([old])
    assert_is(in_all(DB, Span.last(timedelta(days=1), NOW))[0].now, [old, old])
    fold_all()
    assert Figure.objects.get().complete == 2
    assert_is(in_all(DB, Span.last(timedelta(days=1), NOW))[0].now, [old, old])


def test_who_folds_at_the_same_time_folds_nothing_twice() -> None:
    runs = made(20_000)
    feed(runs)

    def fold(_: object) -> int:
        return fold_figures(DB, NOW)

    counts = race([None] * 5, fold, fold, fold)

    assert sum(map(sum, counts)) > 0
    assert fold_all() == 0
    total = Figure.objects.aggregate(n=Sum("complete"))["n"]
    assert total == sum(run.end == COMPLETE for run in runs)
    assert_reads(runs)


def test_while_some_fold_others_add() -> None:
    runs = made(3_000)
    parts = [runs[n::3] for n in range(3)]
    feed(parts[0])

    def fold(_: object) -> None:
        fold_figures(DB, NOW)

    def add(part: list[Known]) -> None:
        feed(part)

    race(parts[1:], add, fold)

    assert_reads(runs)
    fold_all()
    assert_reads(runs)


def test_what_is_older_than_400_days_goes() -> None:
    feed(
        Known(PRESENT - days * DAY, "name", "default", COMPLETE, 1.0, 2.0)
        for days in (399, 402, 500)
    )
    fold_all()
    (row,) = Figure.objects.all()
    assert (row.step, row.complete) == (1440, 1)


def test_without_figures_all_is_nothing() -> None:
    span = Span.last(timedelta(hours=1), NOW)
    assert by_name(DB, span) == by_queue(DB, span) == {}
    assert in_all(DB, span)[0] == Compared()
    assert {figures for _, figures in by_slot(DB, span)} == {Figures()}
    assert len(by_slot(DB, span)) == 61
