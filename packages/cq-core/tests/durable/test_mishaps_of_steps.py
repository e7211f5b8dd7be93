"""Steps where something else goes wrong: a late run, a hook, a group of errors, a lock."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from driving import claim, fresh, run, run_all

from cq import TaskFailed, group, task
from cq.durable import steps as steps_module
from cq.execution import sync_runner
from cq.maintenance import rescue
from cq.models import Step, Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

called: list[Any] = []
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    called.clear()
    script.clear()


@task(durable=True, retries=5, backoff=0)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task
def child(cqt: Any) -> None: ...


@task
def same(cqt: Any, n: int) -> int:
    if n < 0:
        raise ValueError(f"{n} is too little")
    return n


class Died(BaseException):
    """The end of a worker, which writes nothing."""


def again(handle: Task) -> Task:
    """Run a task once more that is to be tried again."""
    Task.objects.filter(pk=handle.pk).update(status=Status.QUEUED, run_after=None)
    return run(fresh(handle))


def pays_the_second_time() -> str:
    called.append("pay")
    if len(called) == 1:
        raise ValueError("no")
    return "paid"


def test_a_late_run_has_no_step_called_again_that_has_succeeded_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def code(cqt: Any) -> Any:
        return cqt.step("pay", pays_the_second_time), cqt.wait_for("go")

    late: list[Any] = []

    def stops(outcome: Any, error: BaseException) -> None:
        late.append((outcome, error))
        raise Died

    script["code"] = code
    handle = of_code.delay()
    with monkeypatch.context() as patch:
        patch.setattr(sync_runner.Outcome, "failed", stops)
        with pytest.raises(Died):
            sync_runner.execute(claim(handle))
    # Taken for dead; another one fails by the error that is kept, and the next one pays.
    rescue.rescue("default", 77, "it was stopped", only=[handle.pk])
    assert run(fresh(handle)).status == Status.RETRY
    assert again(handle).status == Status.SUSPENDED
    [(outcome, error)] = late
    outcome.failed(error)

    assert outcome.status is None
    handle.send("go", 1)
    assert run(fresh(handle)).status == Status.COMPLETE
    assert called == ["pay", "pay"]


def test_what_a_commit_hook_raises_is_no_failure_of_its_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def mail() -> None:
        raise ValueError("no mail server")

    def pay() -> int:
        Group.objects.create(name="paid")
        transaction.on_commit(mail)
        return 7

    script["code"] = lambda cqt: [cqt.step("pay", pay), cqt.step("next", str, 8)]
    handle = run(of_code.delay())

    assert (handle.status, handle.result) == (Status.COMPLETE, [7, "8"])
    assert Group.objects.count() == 1
    assert "is done; behind its commit ValueError was raised" in caplog.text


def test_nor_one_of_its_chunk() -> None:
    Group.objects.bulk_create(Group(name=f"{n}") for n in range(3))

    def mails(rows: list[Group]) -> None:
        called.extend(row.name for row in rows)
        transaction.on_commit(lambda: 1 / 0)

    script["code"] = lambda cqt: cqt.each(
        "rows", Group.objects.order_by("pk"), mails, chunk=2
    )
    assert run(of_code.delay()).result == 3
    assert called == ["0", "1", "2"]


def test_one_that_failed_in_a_group_is_called_by_the_next_try() -> None:
    def code(cqt: Any) -> Any:
        errors = []
        try:
            return cqt.step("pay", pays_the_second_time)
        except ValueError as error:
            errors.append(error)
        raise ExceptionGroup("several", errors)

    script["code"] = code
    handle = run(of_code.delay())
    assert handle.status == Status.RETRY
    handle = again(handle)
    assert (handle.status, handle.result) == (Status.COMPLETE, "paid")


def test_the_bound_of_results_counts_the_last_place_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps_module, "MOST_TEXT", 60)
    Group.objects.bulk_create(Group(name=f"{n}") for n in range(30))
    script["code"] = lambda cqt: cqt.each(
        "rows", Group.objects.order_by("pk"), called.extend, chunk=1
    )
    handle = run(of_code.delay())
    assert (handle.status, handle.error) == (Status.COMPLETE, None)
    assert len(Step.objects.get().stored_text("result")) < 60
    assert len(called) == 30


@pytest.mark.parametrize(
    "step",
    [
        lambda cqt: cqt.step("a", str),
        lambda cqt: cqt.now(),
        lambda cqt: cqt.subtask(child),
        lambda cqt: cqt.sleep("long", days=1),
        lambda cqt: cqt.wait_for("go"),
        lambda cqt: cqt.results([]),
        lambda cqt: cqt.results([cqt.subtask(child)]),
        lambda cqt: cqt.wait_for("go", timeout=0, default=None),
    ],
)
def test_whatever_step_ends_sets_its_losses_to_0(step: Any) -> None:
    script["code"] = lambda cqt: step(cqt) and None
    handle = of_code.delay()
    Task.objects.filter(pk=handle.pk).update(losses=2)
    assert run(handle).losses == 0


def test_one_without_a_step_keeps_them() -> None:
    script["code"] = lambda cqt: 1 / 0
    handle = of_code.delay()
    Task.objects.filter(pk=handle.pk).update(losses=2)
    assert run(handle).losses == 2


@pytest.mark.parametrize("fails", [False, True])
def test_subtasks_of_a_step_are_counted_by_its_last_statement(fails: bool) -> None:
    def makes(cqt: Any) -> None:
        cqt.subtask(child)
        cqt.subtask(child)
        # The row has no lock until then, which others would wait for.
        called.append(Task.objects.get(pk=cqt.pk).open_children)
        if fails and len(called) == 1:
            raise ValueError("no")

    script["code"] = lambda cqt: cqt.using(retries=1, backoff=0).step("a", makes, cqt)
    handle = run(of_code.delay())
    assert called == ([0, 0] if fails else [0])
    assert (handle.status, handle.open_children) == (Status.WAITING, 2)
    run_all()
    assert fresh(handle).status == Status.COMPLETE
    assert Task.objects.filter(parent=handle).count() == 2


def test_and_none_of_a_run_whose_claim_is_gone() -> None:
    def makes(cqt: Any) -> None:
        cqt.subtask(child)
        rescue.rescue("default", 77, "it was stopped", only=[cqt.pk])
        called.append(1)

    script["code"] = lambda cqt: cqt.step("a", makes, cqt)
    handle = of_code.delay()
    sync_runner.execute(claim(handle))
    assert called == [1]
    assert not Task.objects.filter(parent=handle).exists()
    assert Step.objects.count() == 0


def test_the_handle_of_a_group_that_a_rerun_finds_has_its_results() -> None:
    def code(cqt: Any) -> Any:
        made = cqt.subtask(group(same.s(1), same.s(2)))
        return cqt.results([made]), made.result

    script["code"] = code
    handle = run(of_code.delay())
    assert handle.status == Status.SUSPENDED
    run_all()
    assert fresh(handle).result == ([[1, 2]], [1, 2])


def test_results_of_what_was_deleted_since_are_those_of_then() -> None:
    def code(cqt: Any) -> Any:
        made = [same.delay(n) for n in (1, -1)]
        found = cqt.results(made, errors="return")
        cqt.wait_for("go")
        return [found[0], str(found[1])]

    script["code"] = code
    handle = run(of_code.delay())
    run_all()
    assert fresh(handle).status == Status.SUSPENDED
    # By their own `result_ttl`, or run again by hand, while this one waits for months.
    Task.objects.filter(name=same.definition.name).delete()
    handle.send("go")
    handle = run(fresh(handle))
    assert (handle.status, handle.error) == (Status.COMPLETE, None)
    assert handle.result[0] == 1
    assert "FAILURE: -1 is too little" in handle.result[1]


def test_and_so_is_the_error() -> None:
    def code(cqt: Any) -> str:
        try:
            cqt.results([same.delay(-1)])
        except TaskFailed as error:
            cqt.wait_for("go")
            return str(error)
        return "none"

    script["code"] = code
    handle = run(of_code.delay())
    run_all()
    Task.objects.filter(name=same.definition.name).delete()
    handle.send("go")
    assert "-1 is too little" in run(fresh(handle)).result


def test_of_a_subtask_that_is_run_again_since_they_are_waited_for_again() -> None:
    def code(cqt: Any) -> Any:
        found = cqt.results([cqt.subtask(same, 1)])
        cqt.wait_for("go")
        return found

    script["code"] = code
    handle = run(of_code.delay())
    run_all()
    child = Task.objects.get(parent=handle)
    child.retry()
    handle.send("go")
    handle = run(fresh(handle))
    assert (handle.status, handle.result) == (Status.SUSPENDED, None)
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.result) == (Status.COMPLETE, [1])


@pytest.mark.parametrize("runs", [lambda: run(of_code.delay()).error, of_code])
@pytest.mark.parametrize(
    "code",
    [
        lambda cqt: cqt.using(key="a", retries=3).subtask(same, 1),
        lambda cqt: cqt.using(atomic=False).compensate(same, 1),
    ],
)
def test_options_of_a_step_are_refused_where_they_would_do_nothing(
    runs: Any, code: Any
) -> None:
    def told(cqt: Any) -> None:
        with pytest.raises(TypeError, match="are for a step"):
            code(cqt)

    script["code"] = told
    assert runs() is None
