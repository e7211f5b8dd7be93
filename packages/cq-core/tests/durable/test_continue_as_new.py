"""continue_as_new(): the same row begins again, with other arguments and no steps."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from django.test import override_settings
from driving import claim, fresh, run, run_all, run_on_a_loop

import cq
from cq import lifecycle, task
from cq.durable import steps as steps_module
from cq.execution import sync_runner
from cq.maintenance.invariants import CHECKS
from cq.models import Message, Step, Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


def sound(handle: Task) -> None:
    for check in CHECKS:
        wrong = check.condition("default", None)
        assert not check.rows("default").filter(wrong).exists(), check.what


@task
def child(cqt: Any, n: int) -> int:
    return n


@task(durable=True, retries=1, tags=["loop"])
def counts(cqt: Any, n: int, *, most: int = 3) -> list[int]:
    made = cqt.step("one", lambda: n)
    if (code := script.get(n)) is not None:
        code(cqt)
    if n < most:
        cqt.continue_as_new(n + 1, most=most)
    return [made, n]


def test_the_same_row_with_new_arguments_and_no_steps() -> None:
    handle = counts.delay(1)
    for n in (1, 2):
        handle = run(handle)
        assert (handle.status, handle.attempts) == (Status.QUEUED, 0)
        assert (handle.args, handle.kwargs) == ((n + 1,), {"most": 3})
        assert not handle.steps
        sound(handle)
    handle = run(handle)
    assert (handle.status, handle.result) == (Status.COMPLETE, [3, 3])
    assert (handle.attempts, list(handle.tags)) == (1, ["loop"])
    assert Task.objects.count() == 1
    assert not handle.history


def test_messages_that_nobody_has_read_stay() -> None:
    def reads(cqt: Any) -> None:
        script.setdefault("read", []).append(cqt.wait_for("go"))

    script[1] = script[2] = reads
    handle = counts.delay(1, most=2)
    for key in ("x", None, "y"):
        handle.send("go", key, key=key)
    run(handle)
    assert not handle.send("go", "x again", key="x")
    sound(handle)
    assert run(handle).status == Status.COMPLETE
    assert script["read"] == ["x", None]
    assert Message.objects.filter(taken_by=None).count() == 1
    sound(handle)


def test_subtasks_stay_its_own() -> None:
    script[1] = lambda cqt: cqt.subtask(child, 1)
    handle = run(counts.delay(1, most=2))
    assert run(handle).status == Status.WAITING
    run_all()
    assert fresh(handle).status == Status.COMPLETE


def test_a_subtask_stays_one() -> None:
    @task(durable=True, name="tests.anew.parent")
    def parent(cqt: Any) -> Any:
        return cqt.results([cqt.subtask(counts, 1)])

    handle = parent.delay()
    run_all()
    assert fresh(handle).result == [[3, 3]]


def test_failures_are_counted_anew() -> None:
    def fails_once(cqt: Any) -> None:
        if not cqt.failures:
            raise ValueError("no")

    script[1] = script[2] = fails_once
    handle = counts.delay(1, most=2)
    for status in (Status.RETRY, Status.QUEUED, Status.RETRY, Status.COMPLETE):
        handle = run(handle)
        assert handle.status == status
        Task.objects.filter(pk=handle.pk, status="RETRY").update(status="QUEUED")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (lambda cqt: cqt.continue_as_new(), "missing a required argument: 'n'"),
        (lambda cqt: cqt.continue_as_new(1, 2), "too many positional"),
        (lambda cqt: cqt.continue_as_new(object()), "object"),
        (lambda cqt: cqt.continue_as_new(counts.delay(9)), "given a handle"),
        (lambda cqt: cqt.step("in", cqt.continue_as_new, 1), "within another step"),
    ],
)
def test_what_it_does_not_take(code: Any, error: str) -> None:
    def gives_up(cqt: Any) -> None:
        try:
            code(cqt)
        except Exception as raised:
            raise cq.GiveUp(str(raised)) from raised

    script[1] = gives_up
    handle = run(counts.delay(1))
    assert handle.status == Status.FAILURE
    assert error in (handle.error or "")
    assert handle.args == (1,)


def test_results_of_others_are_arguments_no_more() -> None:
    handle = counts.delay(child.delay(1), most=2)
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.result) == (Status.COMPLETE, [2, 2])
    assert handle.args == (2,)


def test_one_that_catches_it_does_so_all_the_same() -> None:
    def catches(cqt: Any) -> None:
        with contextlib.suppress(BaseException):
            cqt.continue_as_new(3)

    script[1] = catches
    handle = run(counts.delay(1, most=0))
    assert (handle.status, handle.args) == (Status.QUEUED, (3,))


def test_a_plain_task_can_not() -> None:
    @task(atomic=False, name="tests.anew.plain")
    def plain(cqt: Any) -> None:
        cqt.continue_as_new()

    assert "make it @task(durable=True)" in (run(plain.delay()).error or "")


def test_one_whose_claim_was_given_away_changes_nothing() -> None:
    handle = counts.delay(1)
    claimed = claim(handle)
    script[1] = lambda cqt: lifecycle.revoke("default", [handle.pk], "no")
    sync_runner.execute(claimed)
    handle = fresh(handle)
    assert (handle.status, handle.args) == (Status.REVOKED, (1,))
    assert Step.objects.count() == 1


def test_for_coroutines() -> None:
    @task(durable=True, name="tests.anew.openly")
    async def openly(cqt: Any, n: int) -> int:
        if n < 3:
            await cqt.acontinue_as_new(n + 1)
        return n

    handle = openly.delay(1)
    for _ in range(3):
        handle = run_on_a_loop(handle)
    assert (handle.status, handle.result) == (Status.COMPLETE, 3)


def test_serially() -> None:
    assert counts(1) == [3, 3]
    with override_settings(CQ_SERIAL=True):
        assert counts.delay(2).result == [3, 3]


def test_the_bound_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "MOST_STEPS", 1)
    script[1] = lambda cqt: cqt.step("two", str, 2)
    assert "continue_as_new()" in (run(counts.delay(1)).error or "")
