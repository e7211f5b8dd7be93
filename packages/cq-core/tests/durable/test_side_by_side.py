"""Steps of a coroutine come one after the other: one that is begun beside another is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from driving import fresh, run, run_on_a_loop

from cq import task
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


@task(durable=True)
async def of_code(cqt: Any) -> Any:
    return await script["code"](cqt)


@task(atomic=False)
async def plain_of_code(cqt: Any) -> Any:
    return await script["code"](cqt)


async def takes_a_while(name: str) -> str:
    called.append(name)
    for _ in range(20):
        await asyncio.sleep(0)
    return name


def steps_of(handle: Task) -> list[tuple[str, bool]]:
    rows = Step.objects.filter(task=handle).order_by("pk")
    return [(row.name, row.finished is not None) for row in rows]


BESIDE = {
    "atomic": lambda cqt: cqt.astep("b", takes_a_while, "b"),
    "openly": lambda cqt: cqt.using(atomic=False).astep("b", takes_a_while, "b"),
    "sleep": lambda cqt: cqt.asleep("b", days=1),
    "wait_for": lambda cqt: cqt.await_for("b"),
    "results": lambda cqt: cqt.aresults([]),
    "subtask": lambda cqt: cqt.using().asubtask(plain_of_code),
    "compensate": lambda cqt: cqt.acompensate(plain_of_code),
    "ask": lambda cqt: cqt.aask("b?", ["yes"]),
    "continue": lambda cqt: cqt.acontinue_as_new(),
}


@pytest.mark.parametrize("runs", [run, run_on_a_loop])
@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("beside", BESIDE.values(), ids=list(BESIDE))
def test_the_one_that_is_under_way_ends_and_is_kept(
    beside: Any, atomic: bool, runs: Any
) -> None:
    async def code(cqt: Any) -> None:
        first = cqt.using(atomic=atomic).astep("a", takes_a_while, "a")
        await asyncio.gather(first, beside(cqt))

    script["code"] = code
    handle = runs(of_code.delay())
    assert handle.status == Status.FAILURE
    assert "one after the other" in handle.error
    assert called == ["a"]
    assert steps_of(handle) == [("a", True)]


@pytest.mark.parametrize("runs", [run, run_on_a_loop])
@pytest.mark.parametrize("of", [of_code, plain_of_code])
@pytest.mark.parametrize("atomic", [True, False])
def test_what_was_refused_leaves_nothing_behind(
    of: Any, atomic: bool, runs: Any
) -> None:
    async def code(cqt: Any) -> list[Any]:
        using = cqt.using(atomic=atomic)
        three = (using.astep(name, takes_a_while, name) for name in "abc")
        found = await asyncio.gather(*three, return_exceptions=True)
        after = [await using.astep(name, takes_a_while, name) for name in "bd"]
        return [found[0], *(type(error).__name__ for error in found[1:]), *after]

    script["code"] = code
    handle = runs(of.delay())
    assert (handle.status, handle.error) == (Status.COMPLETE, None)
    assert handle.result == ["a", "TypeError", "TypeError", "b", "d"]
    assert called == ["a", "b", "d"]
    assert steps_of(handle) == [("a", True), ("b", True), ("d", True)]


@pytest.mark.parametrize("runs", [run, run_on_a_loop])
@pytest.mark.parametrize("atomic", [True, False])
def test_one_within_another_is_refused_at_once(atomic: bool, runs: Any) -> None:
    async def outer(cqt: Any) -> str:
        with pytest.raises(TypeError, match="within another step"):
            await cqt.astep("inner", takes_a_while, "inner")
        with pytest.raises(TypeError, match="within another step"):
            await asyncio.gather(cqt.asleep("inner", days=1))
        return "outer"

    script["code"] = lambda cqt: cqt.using(atomic=atomic).astep("outer", outer, cqt)
    handle = runs(of_code.delay())
    assert (handle.status, handle.result) == (Status.COMPLETE, "outer")
    assert steps_of(fresh(handle)) == [("outer", True)]
