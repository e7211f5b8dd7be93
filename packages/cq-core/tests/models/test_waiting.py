"""Waiting for a task: how it ends, and what could never end and says so."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sample_tasks
from django.db import connection, transaction
from driving import claim, run

from cq import TaskFailed, WaitError, WaitTimeout, task
from cq.execution import sync_runner
from cq.models import Task, waiting
from cq.runs.run import Run, entered
from cq.status import Status
from cq.workers import notices

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def inline(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Stands for the time that a wait lets pass; nobody sleeps, and nobody is told."""
    monkeypatch.setattr(notices, "_messenger", None)
    passed: list[float] = []
    start = time.monotonic()
    monkeypatch.setattr(waiting.time, "sleep", passed.append)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: start + sum(passed))
    return passed


@task
def waits(cqt: Any, how: str) -> Any:
    return HOW[how](cqt)


@task(atomic=False)
def waits_openly(cqt: Any, how: str) -> Any:
    return HOW[how](cqt)


HOW: dict[str, Any] = {
    "for itself": lambda cqt: cqt.wait(1),
    "for itself by another object": lambda cqt: Task.objects.get(pk=cqt.pk).get(1),
    "for its parent": lambda cqt: cqt.parent.wait(1),
    "for its root": lambda cqt: cqt.root.wait(1),
    "for its subtask": lambda cqt: cqt.subtask(sample_tasks.square, 2).wait(1),
    "for what follows it": lambda cqt: cqt.chain(sample_tasks.square, 2).wait(1),
    "for what follows its parent": lambda cqt: cqt.parent.chain(
        sample_tasks.square, 2
    ).wait(1),
    "for what it has just made": lambda cqt: sample_tasks.square.delay(2).wait(1),
}


# --- how it ends ----------------------------------------------------------------------


def test_wait_refreshes_and_returns_this_very_handle() -> None:
    handle = sample_tasks.square.delay(3)
    run(handle)
    assert handle.status == Status.QUEUED
    assert handle.wait() is handle
    assert (handle.status, handle.result, handle.done) == (Status.COMPLETE, 9, True)
    assert handle.get() == 9


def test_wait_returns_whatever_the_outcome_and_get_raises_it() -> None:
    handle = sample_tasks.fails.delay("broken")
    run(handle)
    assert handle.wait(1).status == Status.FAILURE
    with pytest.raises(TaskFailed, match=r"sample_tasks\.fails .* is FAILURE: broken"):
        handle.get(1)
    revoked = sample_tasks.square.delay(1)
    revoked.revoke()
    with pytest.raises(TaskFailed, match="REVOKED") as caught:
        revoked.get(1)
    assert caught.value.task is revoked


def test_wait_looks_at_20_ms_growing_to_500_until_its_time_is_over(
    pauses: list[float],
) -> None:
    handle = sample_tasks.square.delay(3)
    with pytest.raises(WaitTimeout, match=r"was not done within 5 s"):
        handle.wait(5)
    assert pauses[0] == 0.02
    assert max(pauses) == 0.5
    assert sum(pauses) == pytest.approx(5)
    with pytest.raises(TimeoutError):
        handle.get(0)


def test_wait_sees_what_another_thread_settles() -> None:
    handle = sample_tasks.square.delay(3)

    def work() -> None:
        run(handle)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert handle.wait(30).result == 9
    thread.join()


@pytest.mark.usefixtures("closing")
async def test_await_raises_when_its_time_is_over() -> None:
    handle = await sample_tasks.square.adelay(3)
    with pytest.raises(WaitTimeout, match="within 0 s"):
        await handle.await_(0)
    with pytest.raises(WaitTimeout):
        await handle.aget(0)


# --- what could never end -------------------------------------------------------------


def test_a_row_of_the_open_transaction_is_not_waited_for() -> None:
    with transaction.atomic():
        handle = sample_tasks.square.delay(3)
        with pytest.raises(WaitError, match="made in the transaction that is still"):
            handle.wait(1)
        with transaction.atomic(), pytest.raises(WaitError, match="still open"):
            handle.get(1)
        many = sample_tasks.square.delay_many([(1,), (2,)])
        with pytest.raises(WaitError, match="still open"):
            many[1].wait(1)
    with pytest.raises(WaitTimeout):
        handle.wait(0)


def test_a_settled_row_of_the_open_transaction_returns() -> None:
    with transaction.atomic():
        handle = sample_tasks.square.delay(3)
        handle.revoke()
        assert handle.wait(1).status == Status.REVOKED


def test_the_next_transaction_of_the_same_block_is_another_one() -> None:
    handles: list[Task] = []

    @transaction.atomic
    def view() -> None:
        handles.append(sample_tasks.square.delay(3))
        run(handles[0]) if len(handles) > 1 else None
        assert len(handles) == 1 or handles[0].wait(1).result == 9

    view()
    view()


def test_a_row_that_was_rolled_back_is_said_to_be_none() -> None:
    with transaction.atomic():
        handle = sample_tasks.square.delay(3)
        transaction.set_rollback(True)
    with pytest.raises(WaitError, match="has no row"):
        handle.wait(1)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("function", [waits, waits_openly])
@pytest.mark.parametrize("how", list(HOW))
def test_a_task_does_not_wait_for_what_waits_for_it(function: Any, how: str) -> None:
    @task(name=f"parent of one that waits {how} {function.name}")
    def parent(cqt: Any) -> None:
        cqt.subtask(function, how)

    top = parent.delay().wait(5)
    (child,) = top.subtasks.filter(name=function.name)
    if how == "for what it has just made" and function is waits_openly:
        assert (child.status, top.status) == (Status.COMPLETE, Status.COMPLETE)
        return
    assert (child.status, child.exception) == (Status.FAILURE, "cq.errors.WaitError")
    assert "return" in child.error or "Wait after" in child.error
    assert top.status == Status.INCOMPLETE
    assert not Task.objects.filter(status="RUNNING").exists()


@pytest.mark.usefixtures("inline")
def test_an_atomic_task_that_waits_for_what_it_made_is_told_what_to_do() -> None:
    waiting_one = waits.delay("for what it has just made").wait(5)

    assert waiting_one.exception == "cq.errors.WaitError"
    assert "made in the transaction that is still open" in waiting_one.error
    assert "return the handle instead" in waiting_one.error


@pytest.mark.backend("sqlite")
def test_sqlite_says_that_a_transaction_sees_nothing_new() -> None:
    handle = sample_tasks.square.delay(3)
    with (
        transaction.atomic(),
        pytest.raises(WaitError, match="Wait outside the atomic"),
    ):
        handle.wait(1)


@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_a_transaction_that_sees_what_others_commit_may_wait() -> None:
    handle = sample_tasks.square.delay(3)
    with transaction.atomic(), pytest.raises(WaitTimeout):
        handle.wait(0)


def test_another_task_may_be_waited_for_from_inside_one() -> None:
    other = sample_tasks.square.delay(3)
    me = claim(waits_openly.delay("-"))
    inside = Run(me, None, "default", False, None)  # type: ignore[arg-type]
    with entered(inside):
        with pytest.raises(WaitTimeout):
            other.wait(0)
        run(other)
        assert other.get(1) == 9


# --- with nobody else to run it -------------------------------------------------------


@pytest.mark.usefixtures("inline")
def test_inline_one_task_waits_for_another_that_this_thread_has_queued() -> None:
    @task(name="waits for its sister", atomic=False)
    def sister(cqt: Any) -> Any:
        return sample_tasks.square.delay(5).get(5)

    assert sister.delay().get(5) == 25


@pytest.mark.usefixtures("inline")
def test_inline_what_ran_in_a_transaction_that_failed_runs_again() -> None:
    @task(name="waits, then fails")
    def fails(cqt: Any, pk: Any) -> None:
        assert Task.objects.get(pk=pk).get(5) == 25
        raise ValueError("after all")

    with transaction.atomic():
        other = sample_tasks.square.using(run_after=None).s(5)
        # The one that waits is queued first, so it finds the other still waiting.
        with transaction.atomic():
            second = other.delay()
        first = fails.delay(second.pk)
        connection.run_on_commit.reverse()
    assert first.wait(5).status == Status.FAILURE
    second.refresh_from_db()
    assert (second.status, second.result) == (Status.COMPLETE, 25)


@pytest.mark.usefixtures("inline")
def test_inline_a_failure_never_reaches_who_committed() -> None:
    with transaction.atomic():
        handle = sample_tasks.fails.delay("broken")
    assert handle.wait(1).status == Status.FAILURE


@pytest.mark.usefixtures("inline")
def test_inline_a_database_error_of_the_runner_never_reaches_who_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import OperationalError

    def broken(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("no")

    with monkeypatch.context() as patched:
        patched.setattr(sync_runner, "execute", broken)
        handle = sample_tasks.square.delay(3)
    assert Task.objects.get(pk=handle.pk).status == Status.RUNNING
