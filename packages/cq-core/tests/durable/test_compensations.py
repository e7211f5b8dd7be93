"""Compensations: what a durable task did is taken back once it has ended badly."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from driving import claim, fresh, run, run_all, run_on_a_loop
from killing import dies_in, places

from cq import task
from cq.execution import sync_runner
from cq.maintenance import rescue, sweep
from cq.maintenance.invariants import CHECKS
from cq.models import Step, Task
from cq.status import Status
from cq.workflow import revocation

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
#: What was done, in its order, and what a test has the functions do.
did: list[Any] = []
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    did.clear()
    script.clear()


def do(name: str) -> dict[str, str]:
    did.append(name)
    return {"receipt": name}


@task
def take_back(cqt: Any, receipt: dict[str, str]) -> None:
    name = receipt["receipt"]
    if script.get(name):
        raise ValueError(f"{name} stays")
    did.append(f"-{name}")
    Group.objects.create(name=f"-{name} {cqt.parent_id}")


@task
def takes_two(cqt: Any, name: str, *, why: str) -> None:
    did.append(f"-{name} ({why})")


@task
def part(cqt: Any) -> None:
    if script.get("part"):
        raise ValueError("no part")


@task(durable=True)
def order(cqt: Any, *names: str) -> str:
    for name in names:
        cqt.using(undo=take_back, key=name).step("do", do, name)
    if script.get("parts"):
        cqt.subtask(part)
    if script.get("waits"):
        cqt.wait_for("approval")
    if error := script.get("error"):
        raise error
    return "done"


@task(durable=True)
def by_hand(cqt: Any) -> None:
    did.append("reserved")
    cqt.compensate(takes_two, "reserved", why="by hand")
    cqt.using(undo=take_back).step("do", do, "a")
    raise ValueError("no")


@task
def above(cqt: Any) -> None:
    cqt.subtask(order, "a")


def audited() -> None:
    for check in CHECKS:
        assert not check.found(DB, None).exists(), check.what


def test_newest_first_and_final_behind_the_last() -> None:
    script["error"] = ValueError("no")
    handle = run(order.delay("a", "b", "c"))
    assert (handle.status, handle.outcome) == (Status.WAITING, Status.FAILURE)
    assert handle.error == "no"
    assert [t.status for t in handle.subtasks.order_by("pk")] == [
        Status.QUEUED,
        Status.PENDING,
        Status.PENDING,
    ]
    assert run_all() == ["take_back"] * 3
    assert did == ["a", "b", "c", "-c", "-b", "-a"]
    handle = fresh(handle)
    assert (handle.status, handle.error) == (Status.FAILURE, "no")
    audited()


def test_nothing_is_taken_back_of_what_succeeds() -> None:
    handle = run(order.delay("a"))
    assert handle.status == Status.COMPLETE
    assert not handle.subtasks.exists()
    assert did == ["a"]


def test_one_that_fails_does_not_stop_the_others() -> None:
    script.update(error=ValueError("no"), b=True)
    handle = run(order.delay("a", "b", "c"))
    run_all()
    assert did == ["a", "b", "c", "-c", "-a"]
    handle = fresh(handle)
    assert (handle.status, handle.error) == (Status.FAILURE, "no")
    audited()


@task(retries=2, backoff=0)
def takes_back_at_last(cqt: Any, receipt: Any) -> None:
    did.append(f"try {cqt.attempts}")
    if cqt.attempts < 3:
        raise ValueError("not yet")
    take_back.definition.function(cqt, receipt)


def test_one_is_tried_again_as_any_task_and_the_next_waits_for_it() -> None:
    @task(durable=True, name="taken_back_at_last")
    def taken_back(cqt: Any) -> None:
        cqt.using(undo=take_back).step("a", do, "a")
        cqt.using(undo=takes_back_at_last).step("b", do, "b")
        raise ValueError("no")

    handle = run(taken_back.delay())
    while Task.objects.filter(status__in=(Status.QUEUED, Status.RETRY)).exists():
        sweep.due(DB)
        run_all()
    assert did == ["a", "b", "try 1", "try 2", "try 3", "-b", "-a"]
    assert (fresh(handle).status, fresh(handle).error) == (Status.FAILURE, "no")
    audited()


def test_what_was_no_step() -> None:
    handle = run(by_hand.delay())
    run_all()
    assert did == ["reserved", "a", "-a", "-reserved (by hand)"]
    assert fresh(handle).status == Status.FAILURE


def test_a_step_that_failed_has_nothing_to_take_back() -> None:
    @task(durable=True, name="fails_within")
    def fails_within(cqt: Any) -> None:
        cqt.using(undo=take_back).step("do", do, "a")
        cqt.using(undo=take_back).step("no", _raises)

    handle = run(fails_within.delay())
    run_all()
    assert did == ["a", "-a"]
    assert fresh(handle).status == Status.FAILURE


def _raises() -> None:
    raise ValueError("no")


def test_a_failed_subtask_makes_it_incomplete() -> None:
    script.update(parts=True, part=True)
    handle = run(order.delay("a", "b"))
    assert (handle.status, handle.outcome) == (Status.WAITING, None)
    assert run_all() == ["part", "take_back", "take_back"]
    assert did == ["a", "b", "-b", "-a"]
    assert fresh(handle).status == Status.INCOMPLETE
    audited()


def test_what_was_taken_back_stays_incomplete_when_the_subtask_is_retried() -> None:
    script.update(parts=True, part=True)
    handle = run(order.delay("a"))
    run_all()
    script.clear()
    failed = Task.objects.get(name__endswith=".part")
    failed.retry()
    run_all()
    assert fresh(failed).status == Status.COMPLETE
    assert fresh(handle).status == Status.INCOMPLETE
    audited()


def test_while_it_is_taken_back_too() -> None:
    script.update(parts=True, part=True)
    handle = run(order.delay("a"))
    failed = Task.objects.get(name__endswith=".part")
    run(failed)
    assert fresh(handle).outcome == Status.INCOMPLETE
    script.clear()
    fresh(failed).retry()
    run_all()
    assert fresh(handle).status == Status.INCOMPLETE
    assert did == ["a", "-a"]
    audited()


def test_a_failure_waits_for_its_subtasks_first() -> None:
    script.update(parts=True, error=ValueError("no"))
    handle = run(order.delay("a"))
    assert handle.status == Status.WAITING
    assert run_all() == ["part", "take_back"]
    assert fresh(handle).status == Status.FAILURE


def test_revoked_while_it_waits() -> None:
    script["waits"] = True
    handle = run(order.delay("a", "b"))
    assert handle.status == Status.SUSPENDED
    assert handle.revoke("changed my mind")
    assert (handle.status, handle.outcome) == (Status.WAITING, Status.REVOKED)
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.error) == (Status.REVOKED, "changed my mind")
    assert did == ["a", "b", "-b", "-a"]
    audited()


def test_revoked_without() -> None:
    script["waits"] = True
    handle = run(order.delay("a"))
    assert handle.revoke(compensate=False)
    assert handle.status == Status.REVOKED
    assert run_all() == []
    assert did == ["a"]
    audited()


def test_revoked_while_it_takes_back() -> None:
    script["error"] = ValueError("no")
    handle = run(order.delay("a", "b"))
    assert handle.revoke()
    assert (handle.status, handle.outcome) == (Status.WAITING, Status.REVOKED)
    sweep.sweep(DB)
    run_all()
    assert did == ["a", "b", "-b", "-a"]
    assert fresh(handle).status == Status.REVOKED


def test_revoked_without_while_it_takes_back() -> None:
    script["error"] = ValueError("no")
    handle = run(order.delay("a", "b"))
    assert handle.revoke(compensate=False)
    assert handle.status == Status.REVOKED
    assert run_all() == []
    assert {t.status for t in handle.subtasks.all()} == {Status.REVOKED}


def test_revoked_from_above() -> None:
    script["waits"] = True
    parent = run(above.delay())
    child = Task.objects.get(parent=parent)
    assert run(child).status == Status.SUSPENDED
    assert parent.revoke()
    assert parent.status == Status.REVOKED
    assert fresh(child).status == Status.WAITING
    # Its parent has settled without it, and it is not left behind.
    assert sweep.revoke_left_behind(DB) == 0
    audited()
    run_all()
    assert fresh(child).status == Status.REVOKED
    assert did == ["a", "-a"]


def test_revoked_many_at_once() -> None:
    script["waits"] = True
    handles = [run(order.delay("a")), run(order.delay("b"))]
    ids = [handle.pk for handle in handles]
    assert Task.objects.filter(pk__in=ids).revoke() == 2
    run_all()
    assert did == ["a", "b", "-a", "-b"]
    assert revocation.open_below(DB, ids) == []


def test_revoked_within_a_step_which_undoes_that() -> None:
    @task(durable=True, name="revokes_itself")
    def revokes_itself(cqt: Any) -> None:
        cqt.using(undo=take_back).step("do", do, "a")
        Task.objects.get(pk=cqt.pk).revoke()
        cqt.step("never", do, "b")

    handle = run(revokes_itself.delay())
    assert handle.status == Status.WAITING
    run_all()
    assert fresh(handle).status == Status.REVOKED
    # What the last step wrote is undone with its transaction, and it has no undo.
    assert did == ["a", "b", "-a"]


def test_lost(settings: Any) -> None:
    settings.CQ_MAX_LOSSES = 1
    script["error"] = KeyboardInterrupt()
    handle = order.delay("a", "b")
    with pytest.raises(KeyboardInterrupt):
        _dies(claim(handle))
    rescue.rescue(DB, 77, "it was killed", only=[handle.pk])
    assert fresh(handle).outcome == Status.LOST
    run_all()
    assert fresh(handle).status == Status.LOST
    assert did == ["a", "b", "-b", "-a"]
    audited()


def _dies(claimed: Task) -> None:
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(
            "cq.execution.outcome.Outcome.failed", lambda self, error: _raise(error)
        )
        sync_runner.execute(claimed)


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "place", ["cq.lifecycle.compensate", "cq.durable.endings.undoing.write"]
)
def test_killed_in_the_middle_of_its_end(place: str, settings: Any) -> None:
    settings.CQ_MAX_LOSSES = 5
    script["error"] = ValueError("no")
    handle = order.delay("a", "b")

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(place, die)
        with pytest.raises(KeyboardInterrupt):
            sync_runner.execute(claim(handle))
    assert fresh(handle).status == Status.RUNNING
    assert not fresh(handle).subtasks.exists()
    rescue.rescue(DB, 77, "it was killed", only=[handle.pk])
    run_all()
    assert did == ["a", "b", "-b", "-a"]
    assert fresh(handle).status == Status.FAILURE
    audited()


def test_a_retry_does_again_what_was_undone() -> None:
    script.update(error=ValueError("no"), a=True)
    handle = run(order.delay("a", "b"))
    run_all()
    assert did == ["a", "b", "-b"]
    script.clear()
    fresh(handle).retry()
    assert [step.key for step in Step.objects.filter(task=handle.pk)] == ["a"]
    assert run(handle).status == Status.COMPLETE
    # What could not be taken back was not done again.
    assert did == ["a", "b", "-b", "b"]
    audited()


def test_a_retry_that_fails_too_takes_back_anew() -> None:
    script["error"] = ValueError("no")
    handle = run(order.delay("a"))
    run_all()
    fresh(handle).retry()
    run(handle)
    run_all()
    assert did == ["a", "-a", "a", "-a"]
    assert fresh(handle).status == Status.FAILURE


def test_a_task_that_is_not_known_any_more(settings: Any) -> None:
    settings.CQ_UNKNOWN_GRACE = 0
    script["error"] = ValueError("no")
    handle = order.delay("a", "b")
    script["waits"] = True
    run(handle)
    Step.objects.filter(task=handle.pk, key="b").update(undo="gone.undo")
    fresh(handle).revoke()
    run_all()
    gone = Task.objects.get(name="gone.undo")
    assert gone.status == Status.FAILURE
    assert gone.args == ({"receipt": "b"},)
    assert did == ["a", "b", "-a"]
    assert fresh(handle).status == Status.REVOKED


def test_its_unique_key_is_its_own_until_it_is_final() -> None:
    script["waits"] = True
    handle = order.using(unique="one").delay("a")
    run(handle)
    fresh(handle).revoke()
    assert fresh(handle).unique_key == "one"
    run_all()
    assert fresh(handle).unique_key is None


def test_misuse() -> None:
    @task(durable=True, name="misuses")
    def misuses(cqt: Any) -> list[str]:
        found = []
        for call in (
            lambda: cqt.using(undo=do),
            lambda: cqt.using(undo=takes_two),
            lambda: cqt.using(undo=take_back.using(queue="other")),
            lambda: cqt.using(undo=take_back).subtask(part),
            lambda: cqt.using(undo=take_back).each("rows", Task.objects.all(), do),
            lambda: cqt.compensate(do),
            lambda: cqt.compensate(takes_two),
        ):
            with pytest.raises(TypeError) as caught:
                call()
            found.append(str(caught.value))
        return found

    @task(atomic=False, name="is_plain")
    def is_plain(cqt: Any) -> None:
        cqt.using(undo=take_back).step("do", do, "a")

    assert run(misuses.delay()).status == Status.COMPLETE
    plain = run(is_plain.delay())
    assert "durable=True" in plain.error
    assert did == []


def test_errorbacks_come_behind() -> None:
    script["error"] = ValueError("no")
    handle = order.delay("a")
    handle.errorback(takes_two, "told", why="it failed")
    run(handle)
    assert run_all() == ["take_back", "takes_two"]
    assert did == ["a", "-a", "-told (it failed)"]


def test_a_revocation_looks_once_for_what_is_to_be_taken_back() -> None:
    ids = [part.delay().pk for _ in range(50)]
    with CaptureQueriesContext(connection) as queries:
        revocation.revoke_many(DB, ids)
    looks = [q["sql"] for q in queries if "undo_task" in q["sql"]]
    assert len(looks) == 1


@task(durable=True)
async def order_openly(cqt: Any) -> None:
    await cqt.using(undo=take_back).astep("do", do, "a")
    await cqt.acompensate(takes_two, "b", why="openly")
    raise ValueError("no")


def test_a_coroutine() -> None:
    handle = run_on_a_loop(order_openly.delay())
    assert handle.status == Status.WAITING
    run_all()
    assert did == ["a", "-b (openly)", "-a"]


@pytest.mark.parametrize("flags", [[], ["--no-compensate"]])
def test_the_command(flags: list[str]) -> None:
    script["waits"] = True
    handle = run(order.delay("a"))
    call_command("cq", "revoke", str(handle.pk), *flags)
    run_all()
    assert fresh(handle).status == Status.REVOKED
    assert did == (["a"] if flags else ["a", "-a"])


def test_the_audit_finds_what_was_taken_back_in_vain_or_twice() -> None:
    script["error"] = ValueError("no")
    handle = run(order.delay("a", "b"))
    run_all()
    steps = Step.objects.filter(task=handle.pk)
    steps.update(undone_by=handle.subtasks.values_list("pk", flat=True).first())
    steps.filter(key="a").update(finished=None)
    found = [c.what for c in CHECKS if c.found(DB, None).exists()]
    assert found == [
        "what it never did was taken back",
        "two of its steps were taken back by one task",
    ]


@pytest.mark.parametrize("side", ["before", "behind"])
def test_killed_at_each_statement_each_is_taken_back_once(
    side: str, settings: Any
) -> None:
    settings.CQ_MAX_LOSSES = 10
    script["error"] = ValueError("no")
    for at in places(7):
        did.clear()
        handle = order.delay("a", "b")
        was_killed = dies_in(run_all, at, side)
        run_all()
        sweep.sweep(DB)
        ended = fresh(handle)
        assert (ended.status, ended.error) == (Status.FAILURE, "no"), at
        undone = ended.subtasks.order_by("pk").values_list("name", "status")
        assert [status for _, status in undone] == [Status.COMPLETE] * 2, at
        assert Group.objects.filter(name=f"-a {handle.pk}").count() == 1, at
        assert Group.objects.filter(name=f"-b {handle.pk}").count() == 1, at
        audited()
        if not was_killed:
            break
    assert at > 30
