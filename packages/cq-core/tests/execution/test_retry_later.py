"""RetryLater and GiveUp: what a task raises to say what becomes of it."""

from __future__ import annotations

import copy
import logging
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group
from driving import claim, fresh, run, run_all

import cq
from cq import task
from cq.execution import async_runner, sync_runner
from cq.maintenance import sweep
from cq.maintenance.invariants import CHECKS
from cq.status import Status
from cq.tables.queries import tasks
from cq.workflow import revocation

if TYPE_CHECKING:
    from cq.models import Task

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)


class TooEarly(cq.RetryLater):
    """A project's own, which says how long by itself."""

    def __init__(self) -> None:
        super().__init__(timedelta(minutes=1))


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task(retry_on=())
def polls(cqt: Any, good: int, *given: Any) -> int:
    Group.objects.create(name=f"attempt {cqt.attempts}")
    cqt.log(f"attempt {cqt.attempts}")
    if cqt.attempts < good:
        raise TooEarly
    return cqt.attempts


@task(atomic=False)
async def polls_openly(cqt: Any, good: int) -> int:
    if cqt.attempts < good:
        raise cq.RetryLater(60)
    return cqt.attempts


@task(atomic=False)
def starts_children(cqt: Any) -> None:
    cqt.subtask(sample_tasks.square, cqt.attempts)
    if cqt.attempts < 2:
        raise cq.RetryLater(60)


@task
def never_ready(cqt: Any) -> None:
    cqt.errorback(sample_tasks.square, 7)
    raise cq.RetryLater(60)


@task(retries=5, backoff=0)
def gives_up(cqt: Any) -> None:
    cqt.errorback(sample_tasks.square, 7)
    try:
        raise KeyError("the reason")
    except KeyError as error:
        raise Hopeless("why") from error


class Hopeless(cq.GiveUp): ...


@task(retries=1, backoff=0)
def revoked_meanwhile(cqt: Any) -> None:
    revocation.revoke("default", cqt.pk)
    raise cq.RetryLater(0)


def come_to(handle: Task, now: datetime) -> Task:
    sweep.due("default", now)
    return fresh(handle)


def broken(handle: Task) -> list[str]:
    """What an audit would say of the row."""
    return [
        check.what
        for check in CHECKS
        if check.rows is tasks
        and not callable(check.broken)
        and tasks("default").filter(check.broken, pk=handle.pk).exists()
    ]


def test_it_is_tried_again_then_and_no_failure_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "cq")
    handle = run(polls.delay(3), NOW)

    assert (handle.status, handle.attempts, handle.failures) == (Status.RETRY, 1, 0)
    assert handle.run_after == NOW + timedelta(minutes=1)
    assert (handle.error, handle.exception, handle.traceback) == (None, None, None)
    assert not Group.objects.exists()
    [record] = [r for r in caplog.records if r.name == "cq.runner"]
    assert record.levelno == logging.INFO
    assert record.exc_info is None
    assert record.getMessage().endswith("is to be tried again in 60 s")
    assert broken(handle) == []
    assert come_to(handle, NOW + timedelta(seconds=59)).status == Status.RETRY

    handle = run(come_to(handle, NOW + timedelta(minutes=1)), NOW)
    assert (handle.status, handle.attempts) == (Status.RETRY, 2)
    handle = run(come_to(handle, NOW + timedelta(minutes=1)), NOW)

    assert (handle.status, handle.result, handle.failures) == (Status.COMPLETE, 3, 0)
    assert [g.name for g in Group.objects.all()] == ["attempt 3"]
    assert handle.format_logs() == "attempt 1\nattempt 2\nattempt 3"
    assert broken(handle) == []


def test_a_coroutine_is_tried_again_too() -> None:
    handle = polls_openly.delay(2)

    async def in_thread(function: Any, *args: Any) -> Any:
        return await sync_to_async(function)(*args)

    async_to_sync(async_runner.execute)(claim(handle, NOW), None, in_thread, NOW)
    handle = fresh(handle)
    assert (handle.status, handle.failures) == (Status.RETRY, 0)

    handle = run(come_to(handle, NOW + timedelta(minutes=1)), NOW)
    assert (handle.status, handle.result) == (Status.COMPLETE, 2)


def test_the_worker_is_told_when_it_is_due() -> None:
    row = claim(polls.delay(2), NOW)
    sync_runner.execute(row, now=NOW)

    assert (row.ended.status, row.ended.retry_in) == (Status.RETRY, 60.0)


def test_what_the_attempt_has_started_is_given_up_with_it() -> None:
    handle = run(starts_children.delay(), NOW)
    [first] = handle.subtasks.all()
    assert (first.status, first.counted) == (Status.REVOKED, False)
    assert first.error == "The attempt that made it is done again later."

    run(come_to(handle, NOW + timedelta(minutes=1)), NOW)
    run_all()
    assert fresh(handle).status == Status.COMPLETE


def test_what_would_begin_behind_its_end_expires() -> None:
    handle = never_ready.using(expires=NOW + timedelta(seconds=90)).delay()

    handle = run(handle, NOW)
    assert handle.status == Status.RETRY
    later = NOW + timedelta(minutes=1)
    handle = run(come_to(handle, later), later)

    assert (handle.status, handle.attempts, handle.failures) == (Status.EXPIRED, 2, 0)
    assert handle.error == (
        "It raised RetryLater, and would be tried again after it expires."
    )
    assert handle.exception is None
    assert broken(handle) == []
    # What follows it is told: its errorback, which was undone with its transaction.
    assert run_all() == ["square"]


def test_one_that_nobody_claims_until_its_end_is_over_is_not_called_again() -> None:
    handle = run(polls.using(expires=NOW + timedelta(minutes=2)).delay(2), NOW)
    assert handle.status == Status.RETRY

    late = NOW + timedelta(minutes=2)
    handle = run(come_to(handle, late), late)

    assert (handle.status, handle.failures) == (Status.EXPIRED, 0)
    assert handle.format_logs() == "attempt 1"


def test_one_that_failed_and_is_late_had_started_in_time() -> None:
    @task("later.failed", retries=1, backoff=60)
    def fails_first(cqt: Any) -> None:
        if cqt.attempts < 2:
            raise ValueError

    handle = run(fails_first.using(expires=NOW + timedelta(minutes=2)).delay(), NOW)

    late = NOW + timedelta(minutes=2)
    assert run(come_to(handle, late), late).status == Status.COMPLETE


def test_what_waits_for_one_that_expires_so_ends_with_it() -> None:
    whole = cq.chain(
        never_ready.using(expires=NOW + timedelta(seconds=30)).s(), polls.si(1)
    ).delay()
    first, second = whole.subtasks.order_by("pk")

    run(first, NOW)

    assert fresh(first).status == Status.EXPIRED
    assert fresh(second).status == Status.INCOMPLETE
    run_all()
    assert fresh(whole).status == Status.INCOMPLETE


def test_ten_thousand_times_in_a_row_are_the_most() -> None:
    handle = polls.using(retries=3).delay(20_000)
    row = claim(handle, NOW)
    tasks("default").filter(pk=handle.pk).update(options={"later": [9_999, 0]})
    row.options = {"later": [9_999, 0]}
    sync_runner.execute(row, now=NOW)
    assert fresh(handle).status == Status.RETRY

    handle = run(come_to(handle, NOW + timedelta(minutes=1)), NOW)

    assert (handle.status, handle.failures) == (Status.FAILURE, 1)
    assert handle.error.startswith(
        "It raised RetryLater 10,000 times in a row; have it"
    )
    assert handle.exception == "cq.errors.GiveUp"
    assert "TooEarly" in handle.traceback

    # A retry by hand begins a row of its own.
    handle.retry()
    assert run(handle, NOW).status == Status.RETRY
    assert fresh(handle).options["later"] == [1, 3]


def test_a_row_that_somebody_has_written_into_is_tried_again_all_the_same() -> None:
    handle = polls.delay(9)
    for forged in ({"later": "often"}, {"later": [1]}, {"later": ["1", 2]}):
        tasks("default").filter(pk=handle.pk).update(
            options=forged, status=Status.QUEUED
        )
        handle = run(handle, NOW)
        assert handle.status == Status.RETRY


def test_what_the_runner_is_to_know_of_the_call_stays() -> None:
    handle = run(polls.using(retries=3, unique="one").delay(2), NOW)

    assert handle.options == {"retries": 3, "unique": "one", "later": [1, 1]}
    assert handle.unique_key == "one"


def test_a_revocation_that_came_meanwhile_wins() -> None:
    handle = run(revoked_meanwhile.using(atomic=False).delay(), NOW)

    assert handle.status == Status.REVOKED


def test_a_retry_later_that_is_only_the_cause_is_none() -> None:
    @task("later.cause", atomic=False)
    def raises_from(cqt: Any) -> None:
        raise ValueError("no") from cq.RetryLater(5)

    handle = run(raises_from.delay(), NOW)

    assert (handle.status, handle.error) == (Status.FAILURE, "no")


def test_who_gives_up_is_not_tried_again() -> None:
    handle = run(gives_up.delay(), NOW)

    assert (handle.status, handle.failures) == (Status.FAILURE, 1)
    assert handle.error == "why"
    assert handle.exception.endswith("Hopeless")
    assert "KeyError: 'the reason'" in handle.traceback
    assert run_all() == ["square"]


def test_a_backoff_function_sees_the_error() -> None:
    @task("later.backoff", retries=1, backoff=lambda attempt, error: error.args[0])
    def says_when(cqt: Any) -> None:
        raise ValueError(90)

    handle = run(says_when.delay(), NOW)

    assert handle.run_after == NOW + timedelta(seconds=90)


def test_a_backoff_function_that_returns_no_number_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @task("later.no_number", retries=1, backoff=lambda attempt: None)
    def says_nothing(cqt: Any) -> None:
        raise ValueError("no")

    handle = run(says_nothing.delay(), NOW)

    assert (handle.status, handle.error) == (Status.FAILURE, "no")
    assert "returned None; have it return seconds, or a timedelta" in caplog.text


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (timedelta(days=-1), ValueError),
        (timedelta(days=4000), ValueError),
        ("60", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_a_time_that_is_none_is_refused(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="give a number of seconds, or a timedelta"):
        cq.RetryLater(given)


def test_it_can_be_copied_and_sent() -> None:
    error = cq.RetryLater(timedelta(seconds=5))
    for same in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (same.seconds, str(same)) == (5.0, "to be tried again in 5 s")
