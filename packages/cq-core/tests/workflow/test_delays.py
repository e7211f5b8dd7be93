"""Delays, which count from when a task could first run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from driving import fresh, run, run_all

from cq import chain, task
from cq.maintenance import sweep
from cq.models import Edge, Task
from cq.status import Status
from cq.tables.queries import tasks
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


class Alarm:
    def __init__(self) -> None:
        self.heard: list[float] = []

    def ring(self, using: str, ready: Any) -> None: ...

    def due_in(self, using: str, seconds: float) -> None:
        self.heard.append(seconds)


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    alarm = Alarm()
    doorbell.register(alarm)
    yield alarm
    doorbell.unregister(alarm)


@task(delay=MINUTE)
def slow(cqt: Any, *given: Any) -> str:
    return "done"


@task(retries=1, backoff=0)
def fails_once(cqt: Any, *given: Any) -> int:
    if cqt.attempts < 2:
        raise ValueError
    return cqt.attempts


@task
def follows_itself(cqt: Any) -> None:
    cqt.chain(slow)


def steps(whole: Task) -> list[Task]:
    return list(whole.subtasks.order_by("pk"))


def come_to(handle: Task, now: datetime) -> Task:
    sweep.due("default", now)
    return fresh(handle)


@pytest.mark.parametrize("delay", [3600, 3600.0, timedelta(hours=1)])
def test_alone_it_is_a_run_after(delay: Any) -> None:
    handle = sample_tasks.square.using(delay=delay).delay(3)
    row = fresh(handle)

    assert row.status == Status.PENDING
    assert timedelta(minutes=59) < row.run_after - row.submitted < timedelta(minutes=61)
    assert handle.run_after == row.run_after
    assert row.options is None
    assert fresh(slow.delay()).status == Status.PENDING
    assert sample_tasks.square.using(delay=0).delay(3).status == Status.QUEUED
    assert slow.using(delay=None).delay().status == Status.QUEUED


@pytest.mark.parametrize(
    ("run_after", "least"),
    [
        (timedelta(hours=2), timedelta(hours=2)),
        (timedelta(minutes=1), timedelta(hours=1)),
        (datetime(2020, 1, 1, tzinfo=UTC), timedelta(hours=1)),
    ],
)
def test_of_a_moment_and_a_delay_the_later_counts(
    run_after: Any, least: timedelta
) -> None:
    options: dict[str, Any] = {"run_after": run_after, "delay": timedelta(hours=1)}
    handle = sample_tasks.square.using(**options).delay(3)
    many = sample_tasks.square.using(**options).delay_many([(n,) for n in range(9)])

    for row in map(fresh, [handle, *many]):
        assert row.status == Status.PENDING
        # The INSERT asks the clock once for each of the two.
    waits = row.run_after - row.submitted + timedelta(milliseconds=1)
    assert least <= waits < least + timedelta(minutes=9)


def test_a_moment_beyond_the_delay_stays() -> None:
    handle = sample_tasks.square.using(run_after=NOW, delay=3600).delay(3)

    assert fresh(handle).run_after == NOW == handle.run_after


def test_in_a_chain_it_counts_from_the_end_of_what_is_before(alarm: Alarm) -> None:
    whole = chain(sample_tasks.square.s(3), slow.s()).delay()
    first, second = steps(whole)
    assert (second.status, second.run_after) == (Status.PENDING, None)
    assert alarm.heard == []

    run(first, NOW)

    second = fresh(second)
    assert (second.status, second.run_after) == (Status.PENDING, NOW + MINUTE)
    assert second.options is None
    assert alarm.heard == [60.0]
    assert come_to(second, NOW + MINUTE - timedelta(seconds=1)).status == Status.PENDING
    second = come_to(second, NOW + MINUTE)
    assert second.status == Status.QUEUED
    assert run(second, NOW + MINUTE).result == "done"
    assert fresh(whole).status == Status.COMPLETE


@pytest.mark.parametrize(
    ("run_after", "starts"),
    [
        (NOW + 2 * MINUTE, NOW + 2 * MINUTE),
        (NOW + MINUTE / 2, NOW + MINUTE),
        (datetime(2020, 1, 1, tzinfo=UTC), NOW + MINUTE),
    ],
)
def test_behind_another_the_later_of_both_counts(
    run_after: datetime, starts: datetime
) -> None:
    whole = chain(
        sample_tasks.square.s(3), slow.using(run_after=run_after, retries=2).s()
    ).delay()
    first, second = steps(whole)

    run(first, NOW)

    second = fresh(second)
    assert (second.run_after, second.options) == (starts, {"retries": 2})


def test_it_counts_from_the_last_of_several() -> None:
    before = [sample_tasks.square.delay(n) for n in range(2)]
    handle = slow.delay(*before)

    run(before[0], NOW)
    assert fresh(handle).run_after is None
    run(before[1], NOW + MINUTE)

    assert fresh(handle).run_after == NOW + 2 * MINUTE


def test_it_counts_from_now_where_all_has_settled_before() -> None:
    before = sample_tasks.square.delay(3)
    run(before)

    row = fresh(slow.delay(before))

    assert row.status == Status.PENDING
    assert timedelta() < row.run_after - row.submitted < 2 * MINUTE


def test_what_a_task_chains_to_itself_waits_from_its_own_end() -> None:
    handle = run(follows_itself.delay())

    behind = Task.objects.get(previous=handle)
    assert behind.status == Status.PENDING
    assert behind.run_after >= handle.finished + MINUTE


def test_many_that_wait_for_one_start_their_delays_by_one_statement(
    django_assert_max_num_queries: Any,
) -> None:
    before = sample_tasks.square.delay(3)
    slow.delay_many([(before,) for _ in range(30)])

    def count() -> int:
        return Task.objects.filter(name=slow.name, run_after=NOW + MINUTE).count()

    with django_assert_max_num_queries(40):
        run(before, NOW)
    assert count() == 30


def test_neither_a_retry_nor_one_by_hand_waits_for_it_again() -> None:
    whole = chain(sample_tasks.square.s(3), fails_once.using(delay=60).s()).delay()
    first, second = steps(whole)
    run(first, NOW)
    second = run(come_to(second, NOW + MINUTE), NOW + MINUTE)
    assert second.status == Status.RETRY
    assert second.run_after == NOW + MINUTE

    second = run(come_to(second, NOW + MINUTE), NOW + MINUTE)
    assert second.status == Status.COMPLETE
    second.retry()
    assert fresh(second).status == Status.QUEUED


def test_what_never_came_to_it_waits_when_its_predecessor_is_retried() -> None:
    @task("delays.fails_first", atomic=False)
    def fails_first(cqt: Any) -> None:
        if cqt.attempts < 2:
            raise ValueError

    whole = chain(fails_first.s(), slow.s()).delay()
    first, second = steps(whole)
    first = run(first, NOW)
    assert fresh(second).status == Status.INCOMPLETE

    first.retry()
    run(first, NOW)

    assert fresh(second).run_after == NOW + MINUTE


def test_one_that_was_forgotten_is_found_and_waits_then() -> None:
    handle = slow.delay(sample_tasks.square.delay(3))
    # As if who was to queue it had died.
    Edge.objects.filter(task=handle.pk).update(met=True)

    assert sweep.queue_forgotten("default", NOW) == 0

    handle = fresh(handle)
    assert (handle.status, handle.run_after) == (Status.PENDING, NOW + MINUTE)
    assert come_to(handle, NOW + MINUTE).status == Status.QUEUED


@pytest.mark.parametrize("forged", ["soon", None, -5, 1e300, [1]])
def test_a_delay_that_somebody_has_written_holds_nothing_up(forged: Any) -> None:
    before = sample_tasks.square.delay(3)
    handle, other = slow.delay(before), sample_tasks.merge.delay([before])
    tasks("default").filter(pk=handle.pk).update(options={"delay": forged})

    run(before, NOW)

    assert fresh(other).status == Status.QUEUED
    assert come_to(handle, NOW).status == Status.QUEUED


def test_one_that_expires_meanwhile_does_not_run() -> None:
    before = sample_tasks.square.delay(3)
    handle = slow.using(expires=NOW + MINUTE / 2).delay(before)
    run(before, NOW)

    assert come_to(handle, NOW + MINUTE / 2).status == Status.EXPIRED


def test_a_serial_run_does_not_wait() -> None:
    assert slow() == "done"
    assert run_all() == []


@pytest.mark.parametrize("delay", [-1, "60", timedelta(-1), float("nan"), True])
def test_a_delay_that_is_none_is_refused(delay: Any) -> None:
    with pytest.raises(ValueError, match=r"delay is .*a number of seconds, or a time"):
        slow.using(delay=delay).delay()
