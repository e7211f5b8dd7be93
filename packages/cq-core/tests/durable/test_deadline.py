"""deadline=: a durable task is done in time, or EXPIRED."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from driving import fresh, run, run_all, run_on_a_loop

from cq import task
from cq.maintenance import sweep
from cq.models import Task
from cq.status import Status
from cq.testing import run_tasks

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
script: dict[str, Any] = {}
followed: list[Any] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()
    followed.clear()


@task(durable=True, deadline=HOUR, retries=3, backoff=7200)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task
def child(cqt: Any) -> None: ...


@task
def follows(cqt: Any) -> None:
    followed.append(cqt.previous.status)


def submitted(**options: Any) -> tuple[Task, datetime]:
    handle = fresh(of_code.using(**options).delay())
    return handle, handle.submitted


def twice(now: datetime) -> None:
    """What is due at a moment: who is woken by its deadline is late then."""
    sweep.due("default", now)
    sweep.due("default", now)


def test_from_when_it_was_submitted() -> None:
    handle, then = submitted()
    assert abs(handle.expires - then - HOUR) < timedelta(seconds=1)
    handle, then = submitted(deadline=60)
    assert abs(handle.expires - then) < timedelta(seconds=61)
    assert submitted(deadline=None)[0].expires is None


def test_what_only_has_to_start_in_time_may_sleep_beyond_that() -> None:
    script["code"] = lambda cqt: cqt.sleep("long", days=3)
    handle, then = submitted(deadline=None, expires=HOUR)
    handle = run(handle)
    assert (handle.status, handle.expires) == (Status.SUSPENDED, None)
    twice(then + 2 * HOUR)
    assert fresh(handle).status == Status.SUSPENDED


def test_one_that_has_not_started() -> None:
    handle, then = submitted()
    twice(then + HOUR * 1.01)
    handle = fresh(handle)
    assert (handle.status, handle.error) == (
        Status.EXPIRED,
        "It was not done by its deadline.",
    )


@pytest.mark.parametrize(
    "waits",
    [
        lambda cqt: cqt.sleep("long", days=3),
        lambda cqt: cqt.wait_for("approval"),
        lambda cqt: cqt.wait_for("approval", timeout=timedelta(days=3)),
        lambda cqt: cqt.results([cqt.subtask(child)]),
    ],
)
def test_one_that_is_suspended(waits: Any) -> None:
    script["code"] = waits
    handle, then = submitted()
    handle.errorback(follows)
    handle = run(handle)
    assert handle.status == Status.SUSPENDED
    twice(then + HOUR / 2)
    assert fresh(handle).status == Status.SUSPENDED
    twice(then + HOUR * 1.01)
    handle = fresh(handle)
    assert (handle.status, handle.error) == (
        Status.EXPIRED,
        "It was not done by its deadline.",
    )
    sweep.sweep("default")
    assert not Task.objects.filter(parent=handle, status=Status.QUEUED).exists()
    run_all()
    assert followed == [Status.EXPIRED]


def test_what_comes_in_time_goes_on_and_keeps_it() -> None:
    def code(cqt: Any) -> None:
        cqt.sleep("short", minutes=10)
        cqt.sleep("long", days=3)

    script["code"] = code
    handle, then = submitted()
    run(handle)
    sweep.due("default", then + HOUR / 2)
    handle = run(fresh(handle), then + HOUR / 2)
    assert (handle.status, handle.run_after) == (Status.SUSPENDED, handle.expires)
    twice(then + HOUR * 1.01)
    assert fresh(handle).status == Status.EXPIRED


@pytest.mark.parametrize("claimed", [False, True])
def test_one_that_is_tried_again_is_so_at_the_deadline_at_the_latest(
    claimed: bool,
) -> None:
    def fails(cqt: Any) -> None:
        cqt.subtask(child)
        raise ValueError("no")

    script["code"] = fails
    handle, then = submitted()
    handle = run(handle)
    assert (handle.status, handle.attempts) == (Status.RETRY, 1)
    assert abs(handle.run_after - handle.expires) < timedelta(seconds=2)
    script["code"] = lambda cqt: pytest.fail("it is too late")
    if claimed:
        Task.objects.filter(pk=handle.pk).update(status=Status.QUEUED)
        run(fresh(handle), then + HOUR * 1.01)
    else:
        twice(then + HOUR * 1.01)
        sweep.sweep("default")
    handle = fresh(handle)
    assert handle.status == Status.EXPIRED
    assert "not done by its deadline" in (handle.error or "")
    [below] = Task.objects.filter(parent=handle)
    assert below.status == Status.REVOKED


@pytest.mark.parametrize("timeout", [None, 60])
def test_one_that_runs_is_ended(timeout: Any) -> None:
    def runs(cqt: Any) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            cqt.check_claim()
            time.sleep(0.01)

    script["code"] = runs
    handle, then = submitted(timeout=timeout, deadline=1)
    handle.errorback(follows)
    handle = run(handle, then)
    assert handle.status == Status.EXPIRED
    assert handle.exception is None
    run_all()
    assert followed == [Status.EXPIRED]


def test_a_timeout_before_it_is_tried_again() -> None:
    def runs(cqt: Any) -> None:
        time.sleep(0.02)
        cqt.check_claim()

    script["code"] = runs
    handle, then = submitted(timeout=0.01)
    assert run(handle, then).status == Status.RETRY


def test_a_coroutine() -> None:
    @task(durable=True, deadline=30, name="tests.deadline.openly")
    async def openly(cqt: Any) -> None:
        await cqt.await_for("approval")

    handle = run_on_a_loop(openly.delay())
    assert (handle.status, handle.run_after) == (Status.SUSPENDED, handle.expires)


def test_one_that_begins_anew_keeps_it() -> None:
    script["code"] = lambda cqt: cqt.continue_as_new()
    handle, _ = submitted()
    before = handle.expires
    assert run(handle).expires == before


def test_retried_by_hand_it_has_none() -> None:
    handle, then = submitted()
    twice(then + HOUR * 1.01)
    script["code"] = lambda cqt: 7
    handle = fresh(handle).retry()
    assert handle.expires is None
    assert run(handle, then + 2 * HOUR).result == 7


def test_run_tasks_comes_to_it() -> None:
    script["code"] = lambda cqt: cqt.wait_for("approval")
    handle, then = submitted()
    run_tasks(then, until=then + 2 * HOUR)
    assert fresh(handle).status == Status.EXPIRED


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"deadline": 5}, "the task is not durable"),
        ({"durable": True, "deadline": 5, "expires": HOUR}, "given together"),
        ({"durable": True, "deadline": 0}, "a positive number of seconds"),
        ({"durable": True, "deadline": datetime(2050, 1, 1, tzinfo=UTC)}, "positive"),
    ],
)
def test_where_there_can_be_none(options: dict[str, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        task(**options)(lambda cqt: None)


def test_a_call_of_a_plain_task_has_none() -> None:
    with pytest.raises(TypeError, match="not durable"):
        child.using(deadline=5)


# --- what it did is taken back --------------------------------------------------------


taken_back: list[Any] = []


@task
def take_back(cqt: Any, receipt: str) -> None:
    taken_back.append(receipt)


def charges(then: Any) -> Any:
    def code(cqt: Any) -> None:
        cqt.using(undo=take_back).step("charge", lambda: "receipt")
        cqt.subtask(child)
        then(cqt)

    return code


@pytest.mark.parametrize("ends", ["while it waits", "while it runs"])
def test_a_missed_deadline_takes_back_what_was_done(ends: str) -> None:
    taken_back.clear()
    waits = ends == "while it waits"
    script["code"] = charges(
        (lambda cqt: cqt.wait_for("approval")) if waits else _until_late
    )
    handle, then = submitted(**({} if waits else {"deadline": 0.2}))
    handle = run(handle)
    if waits:
        twice(then + HOUR * 1.01)
    handle = fresh(handle)
    assert (handle.status, handle.outcome) == (Status.WAITING, Status.EXPIRED)
    # It waits for that alone.
    names = [made.name for made in handle.subtasks.filter(counted=True)]
    assert names == [take_back.name]
    run_all()
    assert taken_back == ["receipt"]
    assert fresh(handle).status == Status.EXPIRED


def _until_late(cqt: Any) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        cqt.check()
        time.sleep(0.01)
