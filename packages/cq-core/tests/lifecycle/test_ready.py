"""Since when a task is ready, and how long it waits from there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from driving import claim, fresh, run, run_on_a_loop
from forced import AFTER, BEFORE, NOW, WORKER, forced, forced_many, status

from cq import RetryLater, lifecycle, task
from cq.db.clock import database_now
from cq.maintenance import rescue, sweep
from cq.models import Task
from cq.status import FINAL, OPEN, Status
from cq.tables.readiness import ready_column
from cq.testing import run_tasks

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
LONG_AGO = BEFORE - timedelta(hours=9)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


# --- what is waited for ---------------------------------------------------------------


def started(found: Task, after: timedelta) -> Task:
    """Claim what is QUEUED so long behind the present."""
    return claim(found, database_now(DB) + after)


def about(length: timedelta | None, seconds: float) -> bool:
    assert length is not None
    return abs(length.total_seconds() - seconds) < 30


def ago(**span: float) -> datetime:
    return database_now(DB) - timedelta(**span)


def test_what_can_start_at_once_waits_since_it_was_called() -> None:
    made = sample_tasks.square.delay(2)
    found = started(made, timedelta(minutes=5))

    assert found.ready is None
    assert found.ready_at == found.submitted
    assert found.waited() == found.started - found.submitted  # type: ignore[operator]
    assert about(found.waited(), 300)


def test_three_hours_of_run_after_are_no_waiting() -> None:
    made = sample_tasks.square.using(run_after=timedelta(hours=1)).delay(2)
    Task.objects.filter(pk=made.pk).update(
        submitted=ago(hours=3), run_after=ago(minutes=5)
    )
    assert fresh(made).ready_at is None
    assert fresh(made).waited(database_now(DB)) is None

    sweep.due(DB)

    assert about(fresh(made).waited(database_now(DB)), 0)
    assert fresh(made).waited() is None
    assert about(started(made, timedelta(minutes=2)).waited(), 120)


def test_a_chained_task_has_not_waited_for_the_one_before_it() -> None:
    first = sample_tasks.square.delay(2)
    second = first.chain(sample_tasks.square)
    Task.objects.update(submitted=ago(hours=2))

    run(first)

    found = fresh(second)
    assert found.status == Status.QUEUED
    assert found.ready_at is not None
    assert found.ready_at > fresh(first).started  # type: ignore[operator]
    assert about(started(second, timedelta(minutes=2)).waited(), 120)


@task
def puts_off(cqt: Any) -> None:
    if cqt.attempts == 1:
        raise RetryLater(60)


@task(retries=1, backoff=60)
def fails_once(cqt: Any) -> None:
    if cqt.attempts == 1:
        raise ValueError("once")


@pytest.mark.parametrize("function", [puts_off, fails_once])
def test_a_backoff_is_no_waiting(function: Any) -> None:
    made = function.delay()
    Task.objects.update(submitted=ago(hours=2))
    waited = run(made).waited()
    assert about(waited, 7200)

    # While it waits for its time, it is the first run that has waited.
    assert status(made) == Status.RETRY
    assert fresh(made).waited(database_now(DB)) == waited
    Task.objects.update(run_after=ago(minutes=5))
    sweep.due(DB)

    # Its `started` is still that of the first one.
    found = fresh(made)
    assert (found.status, found.waited()) == (Status.QUEUED, None)
    assert about(found.waited(database_now(DB)), 0)
    assert about(started(made, timedelta(minutes=2)).waited(), 120)


def test_a_retry_by_hand_starts_anew() -> None:
    made = sample_tasks.fails.delay()
    Task.objects.update(submitted=ago(hours=2))
    assert about(run(made).waited(), 7200)

    made.retry()

    assert about(made.waited(database_now(DB)), 0)
    assert about(started(made, timedelta(minutes=2)).waited(), 120)


def test_so_do_many() -> None:
    made = [sample_tasks.fails.delay() for _ in range(3)]
    run_tasks()
    Task.objects.update(submitted=ago(hours=2))

    assert Task.objects.filter(status=Status.FAILURE).retry() == 3

    for one in made:
        assert about(fresh(one).waited(database_now(DB)), 0)


def test_a_rescued_task_waits_since_the_rescue() -> None:
    begun, ahead = forced_many(2, Status.RUNNING, ready=LONG_AGO)

    rescue.rescue(DB, WORKER, "gone", NOW, begun={begun.pk})

    assert {status(begun), status(ahead)} == {Status.QUEUED}
    # What had been claimed ahead has not begun, and waits as before.
    assert (fresh(begun).ready_at, fresh(ahead).ready_at) == (NOW, LONG_AGO)


def test_what_is_handed_back_waits_on() -> None:
    made = sample_tasks.square.delay(2)
    Task.objects.update(submitted=ago(hours=2))
    held_back = claim(made)
    assert held_back.worker_id is not None
    lifecycle.hand_back(
        DB, [lifecycle.Claim(made.pk, held_back.fence, held_back.worker_id)]
    )

    assert about(fresh(made).waited(database_now(DB)), 7200)


def test_nobody_has_waited_for_less_than_nothing() -> None:
    early = {"ready": NOW, "started": NOW - SECOND, "attempts": 1}
    for state in sorted((OPEN | FINAL) - {Status.PENDING, Status.QUEUED}):
        found = fresh(forced(state, **early)).waited(NOW)
        # Of what was revoked in the queue nobody knows: an earlier attempt had started.
        assert found == (None if state == Status.REVOKED else timedelta()), state
    assert fresh(forced(Status.QUEUED, ready=AFTER)).waited(NOW) == timedelta()


def test_what_never_started_has_not_waited() -> None:
    for state in sorted(FINAL | {Status.WAITING}):
        found = fresh(forced(state))
        # Nobody knows whether it was PENDING to its end.
        assert (found.ready_at, found.waited(NOW)) == (None, None), state
        again = fresh(forced(state, ready=NOW))
        assert (again.ready_at, again.waited(NOW)) == (NOW, None), state


def test_the_column_of_a_query_is_what_the_task_says() -> None:
    rows = [forced(Status.QUEUED), forced(Status.QUEUED, ready=NOW)]
    found = dict(Task.objects.annotate(at=ready_column()).values_list("pk", "at"))

    assert found == {one.pk: fresh(one).ready_at for one in rows}


# --- inside of a task -----------------------------------------------------------------

seen: list[Any] = []


@task
def looks(cqt: Any) -> None:
    seen.append((cqt.ready, cqt.ready_at, cqt.waited()))


@task(atomic=False)
async def looks_on_a_loop(cqt: Any) -> None:
    seen.append((cqt.ready, cqt.ready_at, cqt.waited()))


@pytest.mark.parametrize("function", [looks, looks_on_a_loop])
def test_a_task_reads_it_of_itself(function: Any) -> None:
    seen.clear()
    made = function.delay()
    done = run_on_a_loop(made) if function is looks_on_a_loop else run(made)
    done.retry()
    done = run_on_a_loop(done) if function is looks_on_a_loop else run(done)

    assert done.status == Status.COMPLETE, done.error
    first, second = seen
    assert first[0] is None
    assert first[1] == done.submitted
    assert second[0] == second[1] == done.ready
    assert done.ready is not None
    assert second[2] == done.waited() == done.started - done.ready  # type: ignore[operator]


def test_a_serial_run_waits_for_no_queue() -> None:
    seen.clear()

    @task(name="ready.serial")
    def chains(cqt: Any) -> None:
        looks()
        cqt.subtask(looks)

    chains()

    assert [len(found) for found in seen] == [3, 3]
    assert all(found[2] >= timedelta() for found in seen)
