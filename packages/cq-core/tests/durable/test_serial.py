"""Durable tasks called like functions, and with ``CQ_SERIAL``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group

import cq
from cq import task

pytestmark = pytest.mark.django_db(transaction=True)

slept: list[float] = []
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    slept.clear()
    monkeypatch.setattr("cq.serial.durable.handle.time.sleep", slept.append)


def charge(name: str, *, fails: bool = False) -> str:
    Group.objects.create(name=name)
    if fails and len(slept) < 2:
        raise ValueError("no")
    return name.upper()


@task
def pack(cqt: Any, n: int) -> int:
    return n


@task(durable=True)
def fulfil(cqt: Any) -> list[Any]:
    receipt = cqt.step("charge", charge, "a")
    cqt.sleep("cool-off", days=1)
    twice = cqt.using(retries=2, backoff=7).step("b", charge, "b", fails=True)
    parcels = [cqt.using(key=n).subtask(pack, n) for n in (1, 2)]
    count = cqt.each("rows", Group.objects.order_by("pk"), list, chunk=1)
    return [receipt, twice, count, cqt.version("p", 3), *[p.result for p in parcels]]


def test_steps_run_and_sleep_sleeps() -> None:
    assert fulfil() == ["A", "B", 2, 3, 1, 2]
    assert slept == [86400.0, 7]
    assert sorted(Group.objects.values_list("name", flat=True)) == ["a", "b"]


@task(durable=True)
def waits(cqt: Any) -> Any:
    return cqt.wait_for("x", timeout=timedelta(days=1))


def test_nobody_can_send_anything() -> None:
    with pytest.raises(cq.WaitError, match="serial run"):
        waits()
    with pytest.raises(cq.AlreadySettled):
        sends()


@task
def sends(cqt: Any) -> None:
    cqt.subtask(pack, 1).send("x")


@task
def atomic(cqt: Any) -> None:
    cqt.step("a", str)


@task
def atomic_of_code(cqt: Any) -> None:
    script["code"](cqt)


@task(atomic=False)
def plain(cqt: Any) -> None:
    cqt.sleep("a", days=1)


@pytest.mark.parametrize("function", [atomic, plain])
def test_where_they_cannot_be_it_is_said(function: Any) -> None:
    with pytest.raises(TypeError, match="durable"):
        function()


@task(durable=True)
async def in_a_coroutine(cqt: Any) -> Any:
    return await cqt.astep("a", charge, "a")


def test_coroutines_too() -> None:
    assert in_a_coroutine() == "A"


@task
def tells(cqt: Any, what: str) -> None:
    slept.append(what)  # type: ignore[arg-type]


@task
def cannot(cqt: Any, what: str) -> None:
    raise ValueError(what)


@task(durable=True)
def fails_late(cqt: Any, *, revoked: bool | None = None) -> None:
    cqt.using(undo=tells).step("a", str.upper, "a")
    cqt.using(undo=cannot).step("b", str.upper, "b")
    cqt.compensate(tells, "c")
    if revoked is not None:
        cqt.revoke(compensate=revoked)
        return
    raise LookupError("no")


def test_what_was_done_is_taken_back_newest_first() -> None:
    with pytest.raises(LookupError):
        fails_late()
    assert slept == ["c", "A"]


@pytest.mark.parametrize(("compensate", "taken"), [(True, ["c", "A"]), (False, [])])
def test_revoked_with_and_without(compensate: bool, taken: list[str]) -> None:
    with pytest.raises(cq.TaskFailed):
        fails_late(revoked=compensate)
    assert slept == taken


def test_undo_wants_a_durable_task_here_too() -> None:
    @task(atomic=False, name="plain_with_undo")
    def plain(cqt: Any) -> None:
        cqt.using(undo=tells).step("a", str.upper, "a")

    with pytest.raises(TypeError, match="durable=True"):
        plain()


@pytest.mark.parametrize(
    "code",
    [
        lambda cqt: cqt.using(retries=1).step("a", str),
        lambda cqt: cqt.using(key="a").each("a", Group.objects.order_by("pk"), list),
        lambda cqt: cqt.now(),
        lambda cqt: cqt.uuid(),
        lambda cqt: cqt.random(),
        lambda cqt: cqt.version("a", 1),
    ],
)
def test_an_atomic_task_can_have_none_however_it_asks(code: Any) -> None:
    script["code"] = code
    with pytest.raises(TypeError, match="one step"):
        atomic_of_code()
