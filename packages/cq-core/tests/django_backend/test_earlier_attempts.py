"""What Django's results tell of attempts that are over: workers, and when they started."""

from __future__ import annotations

import os
import socket
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from cq import lifecycle
from cq import task as cq_task
from cq.django_backend.api import DjangoTask, TaskContext, TaskResultStatus, signals
from cq.errors import RetryLater
from cq.lifecycle import Claim, Failure
from cq.lifecycle.attempts import KEPT, KEPT_FIRST, KEPT_LAST
from cq.models import Attempt, Task, Worker
from cq.testing import run_tasks
from cq.workers.claim_order import claim_next

if TYPE_CHECKING:
    from datetime import datetime

    from cq.django_backend.api import TaskResult

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
HERE = f"{socket.gethostname()}:{os.getpid()}"
UNKNOWN = "unknown"
WHY = Failure.of("no", "shop.Broken", "Traceback of it")
api = import_module(DjangoTask.__module__)

seen: list[Any] = []


def looks(context: TaskContext) -> int:
    seen.append(list(context.task_result.worker_ids))
    return context.attempt


def fails() -> None:
    raise ValueError("no")


def fails_twice(context: TaskContext) -> int:
    if context.attempt < 3:
        raise ValueError("no")
    return context.attempt


def comes_later(context: TaskContext) -> None:
    if context.attempt == 1:
        raise RetryLater(0)
    raise ValueError("no")


@pytest.fixture
def tasks(settings: Any) -> SimpleNamespace:
    settings.CQ_RUN_INLINE = False
    options = {"retries": 2, "backoff": 0}
    settings.TASKS = {
        "default": {"BACKEND": "cq.backends.CQBackend", "OPTIONS": options}
    }
    seen.clear()
    for number in (1, 2, 3):
        now = timezone.now()
        Worker.objects.create(
            id=number,
            kind="worker",
            host=f"web-{number}",
            pid=4711,
            started=now,
            last_seen=now,
        )
    decorate = api.task
    return SimpleNamespace(
        looks=decorate(takes_context=True)(looks),
        fails=decorate(fails),
        fails_twice=decorate(takes_context=True)(fails_twice),
        comes_later=decorate(takes_context=True)(comes_later),
    )


def claimed(worker: int) -> tuple[Claim, datetime]:
    [row] = claim_next(DB, worker, 1)
    assert row.started is not None
    return Claim(row.pk, row.fence, worker), row.started


def fail(claim: Claim) -> None:
    """Fail a run, and have its task queued again at once."""
    assert lifecycle.postpone(DB, claim, WHY, 0)
    assert lifecycle.queue_due(DB, 1)


def workers(result: TaskResult[..., Any]) -> list[str]:
    result.refresh()
    assert result.attempts == len(result.worker_ids)
    return result.worker_ids


def test_each_worker_that_ran_it_is_named(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    assert workers(result) == []
    first, at = claimed(1)
    assert workers(result) == ["web-1:4711"]

    fail(first)
    assert workers(result) == ["web-1:4711"]
    second, _ = claimed(2)
    assert workers(result) == ["web-1:4711", "web-2:4711"]

    lifecycle.rescue(DB, second, 5, "its worker was gone")
    Worker.objects.filter(pk__in=[1, 2]).delete()
    _, last = claimed(3)
    assert workers(result) == ["web-1:4711", "web-2:4711", "web-3:4711"]
    assert result.status == TaskResultStatus.RUNNING
    assert (result.started_at, result.last_attempted_at) == (at, last)


def test_a_worker_that_is_registered_no_more_has_its_id(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    claimed(12345)

    assert workers(result) == ["12345"]


def test_of_one_that_failed_at_once_the_worker_is_told(tasks: Any) -> None:
    told: list[list[str]] = []

    def hear(task_result: Any, **kwargs: Any) -> None:
        told.append(list(task_result.worker_ids))

    signals.task_finished.connect(hear)
    try:
        result = tasks.fails.enqueue()
        run_tasks()
    finally:
        signals.task_finished.disconnect(hear)

    assert workers(result) == [HERE] * 3
    assert told == [[UNKNOWN, UNKNOWN, HERE]]


def test_a_success_keeps_no_worker_and_its_result_asks_once(
    tasks: Any, django_assert_num_queries: Any
) -> None:
    result = tasks.looks.enqueue()
    run_tasks()

    with django_assert_num_queries(1):
        assert workers(result) == [UNKNOWN]
    assert seen == [[HERE]]


def test_a_success_keeps_the_workers_of_the_failures_before_it(tasks: Any) -> None:
    result = tasks.fails_twice.enqueue()
    run_tasks()

    assert workers(result) == [HERE, HERE, UNKNOWN]
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 3)


def test_one_that_asked_for_a_later_attempt_keeps_none_of_that(tasks: Any) -> None:
    result = tasks.comes_later.enqueue()
    run_tasks()

    assert workers(result) == [UNKNOWN, HERE, HERE, HERE]


def test_what_was_handed_back_has_not_counted(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    first, at = claimed(1)
    assert lifecycle.drain(DB, first)
    assert workers(result) == []
    assert (result.started_at, result.last_attempted_at) == (None, None)

    second, at = claimed(2)
    fail(second)
    third, _ = claimed(3)
    assert lifecycle.drain(DB, third)
    assert workers(result) == ["web-2:4711"]
    assert (result.started_at, result.last_attempted_at) == (at, at)


def test_who_handed_it_back_is_not_taken_for_who_ran_it(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    first, _ = claimed(1)
    assert lifecycle.drain(DB, first)
    run_tasks()
    Task.objects.get(pk=result.id).retry()

    assert workers(result) == [UNKNOWN]


def test_what_is_written_while_it_is_read_waits_for_the_next_time(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    first, _ = claimed(1)
    fail(first)
    # As if the second attempt had begun and failed since the row was read.
    Attempt.objects.create(
        task_id=result.id, number=2, ended=timezone.now(), worker="w", outcome="failed"
    )

    assert workers(result) == ["web-1:4711"]
    assert len(result.errors) == 1


def test_handed_back_after_it_was_put_off_it_has_started_then(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    first, at = claimed(1)
    lifecycle.retry_later(DB, first, 0, {})
    assert lifecycle.queue_due(DB, 1)
    second, _ = claimed(2)
    assert lifecycle.drain(DB, second)

    assert workers(result) == [UNKNOWN]
    assert (result.started_at, result.last_attempted_at) == (at, at)


def test_until_it_is_rescued_and_runs_again_the_lost_start_was_the_last(
    tasks: Any,
) -> None:
    result = tasks.looks.enqueue()
    first, at = claimed(1)
    fail(first)
    second, last = claimed(2)
    lifecycle.rescue(DB, second, 5, "its worker was gone")

    assert workers(result) == ["web-1:4711", "web-2:4711"]
    assert result.status == TaskResultStatus.READY
    assert (result.started_at, result.last_attempted_at) == (at, last)


def test_retried_by_hand_it_keeps_what_was_before(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    run_tasks()
    at = Task.objects.get(pk=result.id).started
    Task.objects.get(pk=result.id).retry()

    assert workers(result) == [UNKNOWN]
    assert (result.started_at, result.last_attempted_at) == (at, at)
    _, last = claimed(2)
    assert workers(result) == [UNKNOWN, "web-2:4711"]
    assert (result.started_at, result.last_attempted_at) == (at, last)


def test_revoked_while_it_ran_it_keeps_its_worker(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    claimed(1)
    Task.objects.get(pk=result.id).revoke("no need")

    assert workers(result) == ["web-1:4711"]


def test_of_more_attempts_than_are_kept_those_between_are_unknown(tasks: Any) -> None:
    result = tasks.looks.enqueue()
    count = KEPT + 3
    now = timezone.now()
    numbers = [*range(1, KEPT_FIRST + 1), *range(count - KEPT_LAST + 1, count + 1)]
    Attempt.objects.bulk_create(
        Attempt(
            task_id=result.id, number=n, ended=now, worker=f"w:{n}", outcome="failed"
        )
        for n in numbers
    )
    Task.objects.filter(pk=result.id).update(attempts=count)

    found = workers(result)

    assert [n for n, w in enumerate(found, 1) if w == UNKNOWN] == [6, 7, 8]
    assert all(found[n - 1] == f"w:{n}" for n in numbers)


@pytest.mark.parametrize("setting", ["CQ_SERIAL", "CQ_RUN_INLINE"])
def test_in_line_it_is_told_by_enqueue_too(
    tasks: Any, settings: Any, setting: str
) -> None:
    setattr(settings, setting, True)

    result = tasks.fails.enqueue()

    found = tasks.fails.get_result(result.id)
    assert (result.worker_ids, len(result.errors)) == ([HERE], 1)
    assert (result.worker_ids, result.errors) == (found.worker_ids, found.errors)


@cq_task
def enqueues(cqt: Any) -> list[str]:
    [task] = seen
    result: TaskResult[..., Any] = task.enqueue()
    assert [e.exception_class for e in result.errors] == [ValueError] * 2
    assert result.return_value == 3
    return result.worker_ids


def test_serially_it_was_this_process(tasks: Any) -> None:
    seen.append(tasks.fails_twice)

    assert enqueues() == [HERE] * 3  # type: ignore[call-arg]
