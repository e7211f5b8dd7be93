"""What was taken back is taken back once, whatever is retried by hand behind it."""

from __future__ import annotations

from typing import Any

import pytest
from driving import fresh, run, run_all

from cq import NotRetryable, task
from cq.maintenance.invariants import CHECKS
from cq.models import Step, Task
from cq.status import Status
from cq.workflow import many

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
    if script.get(name):
        raise ValueError(f"{name} stays")
    did.append(f"-{name}")


@task
def before(cqt: Any) -> int:
    if script.get("before"):
        raise ValueError("not before")
    return 1


@task(durable=True)
def order(cqt: Any, n: int = 0) -> str:
    for name in ("a", "b"):
        cqt.using(undo=take_back, key=name).step("do", do, name)
    if error := script.get("error"):
        raise error
    return "done"


def failed(*stay: str, handle: Task | None = None) -> Task:
    """Have an order fail, and those of its steps stay done."""
    script.update(dict.fromkeys(stay, True), error=ValueError("no"))
    handle = run(handle or order.delay())
    run_all()
    for name in (*stay, "error"):
        del script[name]
    return fresh(handle)


def compensations(handle: Task) -> dict[str, Task]:
    rows = Task.objects.filter(parent=handle, name=take_back.name).order_by("pk")
    return {row.args[0]: row for row in rows}


def sound() -> None:
    for check in CHECKS:
        assert not check.found("default", None).exists(), check.what


def test_one_that_failed_may_be_retried_as_long_as_its_task_is_not() -> None:
    handle = failed("a")
    assert did == ["a", "b", "-b"]
    compensations(handle)["a"].retry()
    run_all()
    assert did == ["a", "b", "-b", "-a"]
    sound()


@pytest.mark.parametrize("name", ["a", "b"])
def test_it_is_not_behind_the_retry_of_its_task(name: str) -> None:
    """That of "a" had failed, so the step stayed done; what "b" did is done again."""
    handle = failed("a")
    handle.retry()
    late = compensations(handle)[name]
    with pytest.raises(NotRetryable, match="has been run again since"):
        late.retry()
    assert run(fresh(handle)).status == Status.COMPLETE
    with pytest.raises(NotRetryable, match="has been run again since"):
        fresh(late).retry()
    many.retry("default", [late.pk])
    run_all()
    assert did == ["a", "b", "-b", "b"]
    sound()


def test_nor_is_its_task_while_one_is_under_way() -> None:
    handle = failed("a")
    late = compensations(handle)["a"]
    late.retry()
    with pytest.raises(NotRetryable, match="takes back what task"):
        handle.retry()
    with pytest.raises(NotRetryable, match="takes back what task"):
        handle.retry(from_step="do (b)")
    run_all()
    assert fresh(late).status == Status.COMPLETE
    handle.retry()
    run_all()
    assert did == ["a", "b", "-b", "-a", "a", "b"]
    assert fresh(handle).status == Status.COMPLETE
    sound()


def test_those_of_steps_that_are_forgotten_count_no_more() -> None:
    handle = failed("b")
    handle.retry(from_step="do (b)")
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.error) == (Status.COMPLETE, None)
    assert not Task.objects.filter(parent=handle, counted=True).exists()
    assert did == ["a", "b", "-a", "a", "b"]
    sound()


def test_what_stayed_done_is_taken_back_at_the_next_bad_end() -> None:
    handle = failed("a")
    handle.retry()
    failed(handle=fresh(handle))
    assert did == ["a", "b", "-b", "b", "-b", "-a"]
    sound()


@pytest.mark.parametrize("ended", [Status.FAILURE, Status.COMPLETE])
def test_also_where_what_it_waits_for_fails_by_then(ended: Status) -> None:
    first = before.delay()
    handle = first.chain(order)
    run(first)
    handle = failed("a", handle=handle) if ended == Status.FAILURE else run(handle)
    assert handle.status == ended
    did.clear()
    script["before"] = True
    first.retry()
    handle.retry()
    assert fresh(handle).status == Status.PENDING
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.outcome) == (Status.INCOMPLETE, Status.INCOMPLETE)
    assert did == (["-a"] if ended == Status.FAILURE else ["-b", "-a"])
    assert not Step.objects.filter(task=handle, undone_by=None).exists()
    sound()
