"""What hears of a durable run's doings enqueues no steps of it, whatever a rerun finds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from driving import fresh, run

from cq import signals, task
from cq.models import Step, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


@task
def pack(cqt: Any, item: Any) -> Any:
    return item


@task
def tells(cqt: Any, what: Any) -> None: ...


@task(durable=True, retries=5, backoff=0)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@contextmanager
def received(signal: Any, receiver: Callable[..., Any]) -> Iterator[None]:
    signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        signal.disconnect(receiver)


def twice(code: Callable[[Any], Any]) -> tuple[Task, list[Any]]:
    """Run a function, and again once it has failed at its end."""
    made: list[Any] = []

    def fails(cqt: Any) -> None:
        made.append(code(cqt))
        raise ValueError("not yet")

    script["code"] = fails
    handle = run(of_code.delay())
    Task.objects.filter(pk=handle.pk).update(status=Status.QUEUED, run_after=None)
    return run(fresh(handle)), made


def tells_of_packs(task: Task, **_: Any) -> None:
    if task.name == pack.name:
        tells.delay(str(task.pk))


def packs_within(cqt: Any) -> list[Any]:
    with transaction.atomic():
        return packs_two(cqt)


def packs_two(cqt: Any) -> list[Any]:
    first = cqt.subtask(pack, 1)
    return [first.pk, tells.delay("own").pk, pack.delay(2).pk, tells.delay("2").pk]


@pytest.mark.parametrize("code", [packs_two, packs_within])
def test_what_a_receiver_of_a_record_enqueues_is_no_step(code: Any) -> None:
    with received(signals.task_recorded, tells_of_packs):
        handle, [first, second] = twice(code)
    assert handle.error == "not yet"
    assert first == second
    # Of each pack one, and the two of the function.
    assert Task.objects.filter(name=tells.name).count() == 4
    assert Step.objects.filter(task=handle).count() == 4


def test_nor_what_one_of_an_end_does() -> None:
    """The second time the task has its end already, and nobody is told."""
    other = pack.delay(0)

    def hears(task: Task, **_: Any) -> None:
        if task.pk == other.pk:
            tells.delay("revoked")

    def code(cqt: Any) -> Any:
        other.revoke()
        return [tells.delay("own").pk]

    with received(signals.task_settled, hears):
        handle, [first, second] = twice(code)
    assert handle.error == "not yet"
    assert first == second


def test_nor_is_what_it_logs_a_line_of_the_function() -> None:
    def code(cqt: Any) -> None:
        def hears(**_: Any) -> None:
            cqt.log("heard")

        cqt.log("one")
        with received(signals.task_recorded, hears):
            pack.delay(1)
        cqt.log("two")
        cqt.now()
        if script.setdefault("runs", 0):
            cqt.log("three")
        script["runs"] += 1

    handle, _ = twice(code)
    words = ("one", "two", "three", "heard")
    said = [line for line in handle.format_logs().splitlines() if line in words]
    assert said == ["one", "heard", "two", "three"]


def test_what_it_enqueues_has_steps_of_its_own_where_it_runs_there(
    settings: Any,
) -> None:
    settings.CQ_RUN_INLINE = True
    found: list[Any] = []

    @task(durable=True, name="tests.heard.inner")
    def inner(cqt: Any) -> None:
        found.append(cqt.step("a", lambda: 7))
        pack.delay("inner")

    def hears(task: Task, **_: Any) -> None:
        if task.name == tells.name:
            inner.delay()

    with received(signals.task_recorded, hears):
        tells.delay("x")
    assert found == [7]
    kinds = Step.objects.order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["call", "record"]
