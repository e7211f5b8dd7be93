"""Attempts that fail and are tried again by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from driving import claim, fresh, run, run_all

from cq import task
from cq.definitions import backoff as backing_off
from cq.execution import sync_runner
from cq.maintenance import sweep
from cq.status import Status

if TYPE_CHECKING:
    from cq.models import Task

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task(retries=2, backoff=10)
def fails_until(cqt: Any, good: int) -> int:
    Group.objects.create(name=f"attempt {cqt.attempts}")
    cqt.log(f"attempt {cqt.attempts}")
    if cqt.attempts < good:
        raise ValueError(f"attempt {cqt.attempts}")
    return cqt.attempts


@task(atomic=False, retries=1, backoff=0)
def starts_children(cqt: Any, good: int) -> int:
    for n in range(2):
        cqt.subtask(sample_tasks.square, n + 10 * cqt.attempts)
    if cqt.attempts < good:
        run(cqt.subtasks.order_by("pk").first())
        raise ValueError(f"attempt {cqt.attempts}")
    return cqt.attempts


def at(handle: Task, now: datetime) -> Task:
    """Let time come to `now`, and run the task if that makes it due."""
    sweep.due("default", now)
    handle = fresh(handle)
    return run(handle, now) if handle.status == Status.QUEUED else handle


def test_a_failed_attempt_waits_for_its_backoff_and_runs_again() -> None:
    handle = run(fails_until.delay(2), NOW)
    assert (handle.status, handle.attempts) == (Status.RETRY, 1)
    assert handle.run_after == NOW + timedelta(seconds=10)
    assert (handle.error, handle.exception) == ("attempt 1", "ValueError")
    assert handle.finished is None
    assert at(handle, NOW + timedelta(seconds=9)).status == Status.RETRY
    handle = at(handle, NOW + timedelta(seconds=10))
    assert (handle.status, handle.result, handle.attempts) == (Status.COMPLETE, 2, 2)
    assert [g.name for g in Group.objects.all()] == ["attempt 2"]
    assert handle.format_logs() == "attempt 1\nattempt 2"


def test_an_attempt_that_succeeds_leaves_no_error_behind() -> None:
    handle = run(fails_until.delay(2), NOW)
    handle = at(handle, NOW + timedelta(seconds=10))
    assert (handle.error, handle.exception, handle.traceback) == (None, None, None)


def test_spent_retries_end_in_failure_and_attempts_count_them_all() -> None:
    handle = run(fails_until.delay(9), NOW)
    for n in (1, 2):
        assert handle.status == Status.RETRY
        handle = at(handle, NOW + timedelta(seconds=10 * n))
    assert (handle.status, handle.attempts) == (Status.FAILURE, 3)
    assert handle.error == "attempt 3"
    assert at(handle, NOW + timedelta(days=1)).attempts == 3
    assert not Group.objects.exists()


def test_using_overrides_retries_and_backoff() -> None:
    assert run(fails_until.using(retries=0).delay(2)).status == Status.FAILURE
    handle = run(fails_until.using(backoff=99).delay(2), NOW)
    assert handle.run_after == NOW + timedelta(seconds=99)


@pytest.mark.parametrize(
    ("rules", "error", "again"),
    [
        ((Exception,), ValueError("x"), True),
        ((KeyError, ValueError), ValueError("x"), True),
        ((LookupError,), KeyError("x"), True),
        ((KeyError,), ValueError("x"), False),
        ((), ValueError("x"), False),
        ((lambda e: "busy" in str(e),), ValueError("busy"), True),
        ((lambda e: "busy" in str(e),), ValueError("gone"), False),
        # A predicate that raises decides nothing, and breaks nothing.
        ((lambda e: e.code == 503,), ValueError("x"), False),
        # What is no Exception is never tried again.
        ((BaseException,), SystemExit(1), False),
    ],
)
def test_retry_on_decides_what_is_tried_again(
    rules: Any, error: BaseException, again: bool
) -> None:
    @task(name="raises what it is given", retries=1, backoff=0, retry_on=rules)
    def raises(cqt: Any) -> None:
        raise error

    handle = run(raises.delay())
    assert handle.status == (Status.RETRY if again else Status.FAILURE)
    assert str(error) in handle.error


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [
        (lambda attempt: attempt * 7, 7),
        (lambda attempt: -5, 0),
        (lambda attempt: float("nan"), 0),
        (lambda attempt: float("inf"), backing_off.FURTHEST_SECONDS),
        (lambda attempt: 1e300, backing_off.FURTHEST_SECONDS),
    ],
)
def test_a_backoff_may_be_a_function_and_gives_no_impossible_date(
    backoff: Any, seconds: float
) -> None:
    @task(name="has a backoff", retries=1, backoff=backoff)
    def raises(cqt: Any) -> None:
        raise ValueError

    handle = run(raises.delay(), NOW)
    assert handle.status == Status.RETRY
    assert handle.run_after == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("backoff", [lambda attempt: 1 / 0, lambda attempt: "soon"])
def test_a_backoff_that_fails_ends_the_task_and_not_the_worker(backoff: Any) -> None:
    @task(name="has a broken backoff", retries=1, backoff=backoff)
    def raises(cqt: Any) -> None:
        raise ValueError("the first error")

    handle = run(raises.delay())
    assert (handle.status, handle.error) == (Status.FAILURE, "the first error")


def test_row_73_the_default_backoff_doubles_with_jitter_up_to_an_hour() -> None:
    lowest = [backing_off.exponential(n, lambda: 0.0) for n in (1, 2, 3, 12, 1000)]
    highest = [backing_off.exponential(n, lambda: 1.0) for n in (1, 2, 3, 12, 1000)]
    assert lowest == [1, 2, 4, 1800, 1800]
    assert highest == [2, 4, 8, 3600, 3600]
    assert len({backing_off.exponential(5) for _ in range(20)}) > 1


# --- what an attempt has started beside itself ----------------------------------------


def test_open_children_of_a_failed_attempt_are_revoked_and_the_rest_is_history() -> (
    None
):
    handle = run(starts_children.delay(2))
    assert handle.status == Status.RETRY
    done, open_ = handle.subtasks.order_by("pk")
    assert (done.status, done.result) == (Status.COMPLETE, 100)
    assert open_.status == Status.REVOKED
    assert "tried again" in open_.error
    sweep.due("default")
    handle = run(handle)
    assert handle.status == Status.WAITING
    run_all()
    handle = fresh(handle)
    # The revoked one would have made it INCOMPLETE, were it counted.
    assert (handle.status, handle.result) == (Status.COMPLETE, 2)
    assert handle.subtasks.count() == 4
    assert handle.error is None


def test_when_retries_are_spent_the_open_children_go_on() -> None:
    handle = run(starts_children.using(retries=0).delay(2))
    assert (handle.status, handle.error) == (Status.WAITING, "attempt 1")
    assert handle.exception == "ValueError"
    assert handle.finished is None
    assert handle.subtasks.filter(status=Status.QUEUED).count() == 1
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.error) == (Status.FAILURE, "attempt 1")
    assert handle.subtasks.filter(status=Status.COMPLETE).count() == 2


def test_children_of_an_atomic_attempt_are_gone_with_it() -> None:
    @task(name="atomic with children", retries=1, backoff=0)
    def parent(cqt: Any) -> None:
        cqt.subtask(sample_tasks.square, 2)
        if cqt.attempts == 1:
            raise ValueError

    handle = run(parent.delay())
    assert handle.status == Status.RETRY
    assert not handle.subtasks.exists()
    sweep.due("default")
    run_all()
    assert fresh(handle).status == Status.COMPLETE
    assert handle.subtasks.count() == 1


def test_a_parent_stays_waiting_while_its_child_is_to_be_retried() -> None:
    @task(name="has a child that fails once")
    def parent(cqt: Any) -> None:
        cqt.subtask(fails_until, 2)

    top = run(parent.delay())
    (child,) = top.subtasks.all()
    run(child, NOW)
    assert (fresh(top).status, fresh(top).error) == (Status.WAITING, None)
    at(child, NOW + timedelta(seconds=10))
    assert fresh(top).status == Status.COMPLETE


def test_failures_and_losses_are_counted_apart() -> None:
    handle = claim(fails_until.delay(2), NOW)
    from cq import lifecycle

    held = lifecycle.Claim(handle.pk, handle.fence, handle.worker_id)
    assert lifecycle.rescue("default", held, 3, "gone") == Status.QUEUED
    handle = run(handle, NOW)  # the second attempt, and the first to tell
    assert (handle.status, handle.attempts, handle.losses) == (Status.COMPLETE, 2, 1)


def test_a_retry_is_run_by_its_time_alone() -> None:
    handle = run(fails_until.delay(2), NOW)
    assert sweep.due("default", NOW + timedelta(seconds=9.9)) == 0
    assert sweep.due("default", NOW + timedelta(seconds=10.1)) == 1
    claimed = claim(handle, NOW)
    assert claimed.fence == 2
    sync_runner.execute(claimed)
    assert fresh(handle).status == Status.COMPLETE
