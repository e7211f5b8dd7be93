"""Ends of durable tasks where something else goes wrong: what was done is taken back still."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from driving import fresh, run, run_all
from plans import plan

from cq import RetryLater, task
from cq.codec import Encoded
from cq.definitions import registry
from cq.hooks import cut_off
from cq.maintenance import sweep
from cq.maintenance.invariants import CHECKS
from cq.models import Step, Task
from cq.status import Status
from cq.workflow import revocation

pytestmark = pytest.mark.django_db(transaction=True)

did: list[Any] = []
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    did.clear()
    script.clear()


def do(name: str) -> str:
    did.append(name)
    return name


@task
def take_back(cqt: Any, name: str) -> None:
    did.append(f"-{name}")


@task
def part(cqt: Any) -> None:
    if script.get("part"):
        raise ValueError("no part")


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task(durable=True, unique="the one")
def alone(cqt: Any) -> None:
    cqt.using(undo=take_back).step("charge", do, "a")
    cqt.wait_for("approval")


def audited() -> None:
    for check in CHECKS:
        assert not check.found("default", None).exists(), check.what


def test_of_a_task_that_no_code_knows_any_more(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CQ_UNKNOWN_GRACE = 0

    @task(durable=True, name="tests.mishaps.removed")
    def removed(cqt: Any) -> None:
        cqt.using(undo=take_back).step("charge", do, "a")
        cqt.wait_for("approval")

    handle = run(removed.delay())
    handle.send("approval")
    monkeypatch.delitem(registry._definitions, removed.definition.name)
    handle = run(handle)
    assert (handle.status, handle.outcome) == (Status.WAITING, Status.FAILURE)
    run_all()
    assert fresh(handle).status == Status.FAILURE
    assert did == ["a", "-a"]
    audited()


def test_retry_later_beyond_the_deadline_revokes_what_is_below() -> None:
    def code(cqt: Any) -> None:
        cqt.using(undo=take_back).step("charge", do, "a")
        cqt.subtask(part)
        raise RetryLater(timedelta(hours=2))

    script["code"] = code
    handle = run(of_code.using(deadline=3600).delay())
    [below] = Task.objects.filter(parent=handle, name=part.definition.name)
    assert (handle.outcome, below.status) == (Status.EXPIRED, Status.REVOKED)
    run_all()
    assert fresh(handle).status == Status.EXPIRED
    assert did == ["a", "-a"]
    audited()


@pytest.mark.parametrize("text", ["7", "[1]", "[[", '"ab"'])
def test_a_compensation_whose_row_was_edited_fails_by_itself(text: str) -> None:
    def code(cqt: Any) -> None:
        cqt.using(undo=take_back).step("charge", do, "a")
        cqt.compensate(take_back, name="by hand")
        cqt.wait_for("approval")

    script["code"] = code
    handle = run(of_code.using(deadline=3600).delay())
    Step.objects.filter(kind=Step.UNDO).update(result=Encoded(text))
    late = handle.submitted + timedelta(hours=2)
    sweep.due("default", late)
    sweep.due("default", late)
    assert fresh(handle).outcome == Status.EXPIRED
    run_all()
    assert fresh(handle).status == Status.EXPIRED
    assert did[:2] == ["a", "-a"] or did[-1] == "-a"


def test_subtasks_of_what_was_taken_back_count_no_more_behind_a_retry() -> None:
    def ships(cqt: Any) -> str:
        cqt.subtask(part)
        return do("ship")

    script["code"] = lambda cqt: cqt.using(undo=take_back).step("ship", ships, cqt)
    script["part"] = True
    handle = of_code.delay()
    run_all()
    handle = fresh(handle)
    assert handle.status == Status.INCOMPLETE
    assert did == ["ship", "-ship"]
    script.pop("part")
    handle.retry()
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.error) == (Status.COMPLETE, None)
    assert did == ["ship", "-ship", "ship"]
    assert Task.objects.filter(parent=handle, counted=True).count() == 1
    audited()


def test_one_that_began_without_its_key_is_taken_back_without_it() -> None:
    handle = run(alone.delay())
    # As it may where it is debounced, or was reopened.
    Task.objects.filter(pk=handle.pk).update(unique_key=None)
    other = alone.delay()
    assert other.pk != handle.pk
    assert handle.revoke()
    assert (handle.status, handle.unique_key) == (Status.WAITING, None)
    run_all()
    assert fresh(handle).status == Status.REVOKED
    assert fresh(other).status == Status.SUSPENDED
    audited()


def test_else_it_keeps_it_until_it_is_final() -> None:
    handle = run(alone.delay())
    handle.revoke()
    assert handle.unique_key
    assert alone.delay().pk == handle.pk
    run_all()
    assert fresh(handle).unique_key is None


@pytest.mark.backend("sqlite")
def test_of_each_subtask_it_is_found_by_an_index_whether_it_takes_back_a_step() -> None:
    asked: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, *given: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, *given)

    handle = run(alone.delay())
    handle.revoke()
    with connection.execute_wrapper(note):
        assert revocation.open_below("default", [handle.pk]) == []
    [statement] = asked
    # By the first alone all steps of the parent would be read for each.
    assert "(task_id=? AND undone_by=?)" in plan(*statement)


def test_middleware_is_told_of_what_was_cut_off_and_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Task] = []
    monkeypatch.setattr(cut_off, "_who_wants_to_know", lambda: [told.append])
    handle = run(alone.delay())
    with override_settings(CQ_MIDDLEWARE=["of.a.project"]):
        handle.revoke()
    assert [(task.pk, task.status) for task in told] == [(handle.pk, Status.WAITING)]
