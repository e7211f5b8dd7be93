"""What a durable task enqueues outside of its steps is a step by itself."""

from __future__ import annotations

from typing import Any

import pytest
from driving import fresh, run, run_all

from cq import chain, group, task
from cq.models import Step, Task
from cq.status import Status
from cq.tables.queries import tasks

pytestmark = pytest.mark.django_db(transaction=True)

script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


@task
def pack(cqt: Any, item: Any) -> Any:
    return item


@task(unique="the one")
def only(cqt: Any) -> None: ...


@task(durable=True, retries=5, backoff=0)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


def again(handle: Task) -> Task:
    tasks("default").filter(pk=handle.pk).update(status=Status.QUEUED, run_after=None)
    return run(fresh(handle))


def twice(code: Any, first: Any = None) -> tuple[Task, list[Any]]:
    """Run a function, and again once it has failed at its end."""
    made: list[Any] = []

    def fails(cqt: Any) -> None:
        made.append(code(cqt))
        raise ValueError("not yet")

    script["code"] = fails
    handle = run(of_code.delay())
    handle = again(handle)
    return handle, made


@pytest.mark.parametrize(
    "code",
    [
        lambda cqt: [cqt.subtask(pack, 1), cqt.subtask(pack, 2)],
        lambda cqt: [pack.delay(1), pack.using(priority=5).delay(2)],
        lambda cqt: [group(pack.s(n) for n in range(3)).delay()],
        lambda cqt: [cqt.subtask(chain(pack.s(1), pack.s()))],
        lambda cqt: [cqt.using(key=k).subtask(pack, k) for k in "ab"],
        lambda cqt: [(first := cqt.subtask(pack, 1)), first.chain(pack)],
        lambda cqt: list(pack.delay_many([(n,) for n in range(5)])),
        lambda cqt: [only.delay()],
    ],
)
def test_a_rerun_finds_the_tasks_and_makes_none(code: Any) -> None:
    only.delay()
    before = Task.objects.count()
    _, [first, second] = twice(code)
    made = Task.objects.count() - before - 1

    assert [t.pk for t in first] == [t.pk for t in second]
    assert [(t.name, t.parent_id, t.root_id) for t in first] == [
        (t.name, t.parent_id, t.root_id) for t in second
    ]
    assert [t.created for t in first] == [t.created for t in second]
    assert Task.objects.count() - before - 1 == made
    assert set(Step.objects.values_list("kind", flat=True)) == {"record"}


def test_the_subtasks_of_a_run_stay_those_of_the_next() -> None:
    handle, _ = twice(lambda cqt: [cqt.subtask(pack, 1), cqt.subtask(pack, 2)])
    run_all()
    script["code"] = lambda cqt: [cqt.subtask(pack, n) and n for n in (1, 2)]
    handle = again(handle)
    assert [t.status for t in handle.subtasks.all()] == [Status.COMPLETE] * 2
    assert handle.status == Status.COMPLETE


def test_what_is_enqueued_in_a_step_is_of_its_transaction() -> None:
    def fails(cqt: Any) -> None:
        cqt.subtask(pack, 1)
        if script.get("fails", True):
            raise ValueError("no")

    script["code"] = lambda cqt: cqt.step("packs", lambda: fails(cqt))
    handle = run(of_code.delay())
    assert Task.objects.filter(name__endswith="pack").count() == 0
    script["fails"] = False
    handle = again(handle)
    assert Task.objects.filter(name__endswith="pack").count() == 1
    assert [s.kind for s in handle.steps] == ["call"]
    assert handle.status == Status.WAITING


def test_other_arguments_are_a_mismatch() -> None:
    numbers = iter(range(9))
    handle, _ = twice(lambda cqt: cqt.subtask(pack, next(numbers)))
    assert handle.exception == "cq.errors.StepMismatch"


def test_a_hook_of_a_steps_commit_is_no_step() -> None:
    from django.db import transaction

    def code(cqt: Any) -> Any:
        cqt.step("a", lambda: transaction.on_commit(lambda: pack.delay("hook")) or 1)
        return [pack.delay("own")]

    _, [first, second] = twice(code)
    assert [t.pk for t in first] == [t.pk for t in second]


def test_a_row_that_is_gone_has_its_handle_all_the_same() -> None:
    made: list[Any] = []

    def code(cqt: Any) -> None:
        made.append(pack.delay(1))
        Task.objects.filter(pk=made[0].pk).delete()
        raise ValueError("not yet")

    script["code"] = code
    again(run(of_code.delay()))
    assert made[0].pk == made[1].pk


@pytest.mark.parametrize("before", [False, True])
def test_one_that_it_returns_gives_its_result_without_a_sweep(before: bool) -> None:
    def gives(cqt: Any) -> Any:
        handle = cqt.subtask(pack, 7)
        if before:
            cqt.results([handle])
        return handle

    script["code"] = gives
    handle = of_code.delay()
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.result) == (Status.COMPLETE, 7)
    assert handle.open_children == 0
