"""What is kept of the depths of queues, by whom, and how it is read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from forced import NOW, forced, forced_many, register
from racing import race

import cq
from cq.figures import depths
from cq.figures.depths import ALL, EMPTY, Depth, found_at, history
from cq.figures.folding import fold_depths
from cq.figures.steps import DAY, DEPTHS_KEPT, Span, minute_of
from cq.metrics import depths as measuring
from cq.metrics.depths import keep_minute
from cq.models import Depth as DepthRow
from cq.models import Figure, Mark, Task
from cq.status import Status
from cq.tables.worker_rows import WorkerState
from cq.workers import requests
from cq.workers.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def queue_some() -> None:
    forced_many(3, Status.QUEUED, queue="mail", submitted=ago(seconds=40))
    forced(Status.QUEUED, queue="mail", submitted=ago(seconds=90), priority=-5)
    forced(Status.QUEUED, queue="nobody", submitted=ago(minutes=5))
    forced_many(2, Status.RUNNING, queue="mail", started=ago(seconds=3))
    forced(Status.RUNNING, queue="busy", started=ago(seconds=3))
    forced(Status.PENDING, queue="later")


@pytest.fixture
def _workers(transactional_db: None) -> Iterator[None]:
    """Two that live, with 4 and 3 slots, one that claims nothing, and one that is dead."""
    leases = [
        Lease(DB, "test", queues=["mail", "busy"], slots=4),
        Lease(DB, "test", queues=["-nobody"], slots=3),
        Lease(DB, "test", slots=16),
    ]
    for lease in leases:
        lease.register()
    requests.tell(DB, leases[-1].worker, WorkerState.QUIET)
    register(13, seen=ago(hours=1))
    yield
    for lease in leases:
        lease.close()


@pytest.mark.usefixtures("_workers")
def test_a_minute_has_each_queue_with_work_and_all_together() -> None:
    queue_some()

    assert keep_minute(DB, NOW)

    found = found_at(DB, NOW)
    assert found is not None
    assert found.time == NOW
    assert found.queues == {
        "mail": Depth(4, False, 2, 7, 90.0, ago(seconds=90)),
        "nobody": Depth(1, False, 0, 0, 300.0, ago(minutes=5)),
        "busy": Depth(0, False, 1, 7),
    }
    assert found.total == Depth(5, False, 3, 7, 300.0, ago(minutes=5))


def test_a_minute_is_looked_at_by_one_worker(
    django_assert_max_num_queries: Any,
) -> None:
    queue_some()
    assert keep_minute(DB, NOW)
    rows = list(DepthRow.objects.order_by("pk").values())
    with django_assert_max_num_queries(1):
        assert not keep_minute(DB, NOW + timedelta(seconds=50))
    assert list(DepthRow.objects.order_by("pk").values()) == rows
    assert keep_minute(DB, NOW + timedelta(seconds=60))


def test_of_workers_that_look_at_the_same_time_one_counts() -> None:
    queue_some()
    minutes = [NOW + timedelta(minutes=n) for n in range(10)]

    def look(now: datetime) -> bool:
        return keep_minute(DB, now)

    looks = zip(*race(minutes, look, look, look), strict=True)

    assert [sum(of_one) for of_one in looks] == [1] * 10
    assert DepthRow.objects.count() == 10 * 4


def test_without_work_a_minute_says_that_there_was_none() -> None:
    assert keep_minute(DB, NOW)
    found = found_at(DB, NOW)
    assert found is not None
    assert (found.total, found.queues) == (EMPTY, {})


def test_where_figures_are_off_nobody_looks(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.CQ_FIGURES = False
    with django_assert_num_queries(0):
        assert not keep_minute(DB, NOW)


def test_a_queue_is_counted_up_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MOST_WAITING", (10, 1_000))
    forced_many(15, Status.QUEUED, queue="full")
    forced_many(9, Status.QUEUED, queue="mail")
    keep_minute(DB, NOW)
    found = found_at(DB, NOW)
    assert found is not None
    full, mail = found.queues["full"], found.queues["mail"]
    assert (full.waiting, full.capped) == (10, True)
    assert (mail.waiting, mail.capped) == (9, False)
    assert found.total.capped


def test_a_minute_that_is_being_counted_or_was_given_up_is_not_shown() -> None:
    keep_minute(DB, ago(minutes=1))
    assert depths.begin(DB, minute_of(NOW))
    found = found_at(DB, NOW)
    assert found is not None
    assert found.time == ago(minutes=1)
    ((_, before), (_, present)) = history(DB, Span.last(timedelta(minutes=1), NOW))[ALL]
    assert (before, present) == (EMPTY, None)
    assert found_at(DB, NOW + timedelta(minutes=5)) is None


def test_a_history_has_gaps_where_nobody_looked_and_zeros_where_nothing_was() -> None:
    for minutes, waiting in ((4, 2), (2, 5), (0, 0)):
        Task.objects.all().delete()
        forced_many(waiting, Status.QUEUED, queue="mail", submitted=ago(hours=1))
        keep_minute(DB, ago(minutes=minutes))
    span = Span.last(timedelta(minutes=5), NOW, DEPTHS_KEPT)

    found = history(DB, span, ["mail"])

    waiting_of = {
        queue: [depth and depth.waiting for _, depth in slots]
        for queue, slots in found.items()
    }
    assert waiting_of == {q: [None, 2, None, 5, None, 0] for q in (ALL, "mail")}
    with pytest.raises(ValueError, match="101 queues are more than 100"):
        history(DB, span, [f"q{n}" for n in range(101)])


def test_minutes_become_the_most_of_ten_and_read_alike() -> None:
    begin = ago(days=3)
    for minutes in range(20):
        Task.objects.all().delete()
        waiting = (minutes * 7) % 10
        forced_many(waiting, Status.QUEUED, queue="mail", submitted=begin)
        keep_minute(DB, begin + timedelta(minutes=minutes))
    span = Span.between(begin, begin + timedelta(minutes=20), NOW, DEPTHS_KEPT)
    assert (span.step, len(span.slots)) == (10, 2)
    before = history(DB, span, ["mail"])
    assert [depth and depth.waiting for _, depth in before["mail"]] == [9, 9]

    while fold_depths(DB, NOW):
        pass

    assert set(DepthRow.objects.values_list("step", flat=True)) == {10}
    assert history(DB, span, ["mail"]) == before
    found = found_at(DB, begin + timedelta(minutes=17))
    assert found is not None
    assert found.time == begin + timedelta(minutes=10)
    assert found.queues["mail"].waiting == 9
    assert found.queues["mail"].age == 19 * 60

    while fold_depths(DB, NOW + timedelta(days=30)):
        pass
    assert not DepthRow.objects.exists()


def test_only_the_queues_with_the_most_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(depths, "MOST_QUEUES", 2)
    for number in range(4):
        forced_many(number + 1, Status.QUEUED, queue=f"q{number}")
    keep_minute(DB, NOW)
    found = found_at(DB, NOW)
    assert found is not None
    assert set(found.queues) == {"q2", "q3"}
    assert found.total.waiting == 10


def test_who_counts_the_queues_folds_what_is_old_within_four_minutes() -> None:
    long_ago = minute_of(ago(days=500))
    Figure.objects.create(step=DAY, slot=long_ago, name="one", queue="default")
    DepthRow.objects.create(step=10, slot=long_ago, queue="mail", waiting=1)
    cq.mark("long ago", now=ago(days=500))
    for minutes in range(4):
        keep_minute(DB, NOW + timedelta(minutes=minutes))
    assert not Figure.objects.exists()
    assert not DepthRow.objects.filter(slot=long_ago).exists()
    assert not Mark.objects.exists()
