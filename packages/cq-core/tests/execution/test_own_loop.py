"""What belongs to one event loop, used by atomic coroutines: each has a loop of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from driving import run

from cq import task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

REMEDY = "make locks and clients inside the function, or declare the task with atomic="


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> Iterator[None]:
    settings.CQ_RUN_INLINE = False
    SHARED.clear()
    yield
    SHARED.clear()


#: What a module would have at its top.
SHARED: dict[str, Any] = {}


@task
async def both_want_a_lock(cqt: Any) -> str:
    lock = SHARED.setdefault("lock", asyncio.Lock())

    async def hold() -> None:
        async with lock:
            await asyncio.sleep(0)

    await asyncio.gather(hold(), hold())
    return "held"


@task
async def awaits_a_future(cqt: Any) -> None:
    loop = asyncio.get_running_loop()
    future = SHARED.setdefault("future", loop.create_future())
    if future.get_loop() is loop:
        return
    await future


@task
async def uses_a_client(cqt: Any) -> None:
    """As clients do: they keep the loop that their connection was made on."""
    loop = SHARED.setdefault("loop", asyncio.get_running_loop())
    try:
        loop.call_soon(lambda: None)
    except RuntimeError as error:
        raise ConnectionError("the client could not send") from error


@pytest.mark.parametrize("launch", [both_want_a_lock, awaits_a_future, uses_a_client])
def test_an_error_about_another_loop_says_what_to_do(launch: Any) -> None:
    assert run(launch.delay()).status == Status.COMPLETE
    second = run(launch.delay())
    assert second.status == Status.FAILURE
    assert "An atomic coroutine has an event loop of its own" in second.error
    assert REMEDY in second.error


@task(timeout=0.3)
async def waits_for_a_lock(cqt: Any) -> None:
    await SHARED.setdefault("lock", asyncio.Lock()).acquire()


@task(timeout=0.3)
async def waits_for_nothing(cqt: Any) -> None:
    await asyncio.sleep(60)


def test_a_lock_that_never_comes_free_is_told_at_the_timeout() -> None:
    assert run(waits_for_a_lock.delay()).status == Status.COMPLETE
    second = run(waits_for_a_lock.delay())
    assert second.exception == "cq.errors.TaskTimeout"
    assert "It waited for an asyncio lock, event or queue." in second.error
    assert REMEDY in second.error


def test_another_timeout_says_nothing_of_loops() -> None:
    ended = run(waits_for_nothing.delay())
    assert ended.error == "It ran longer than its timeout of 0.3 s."


@task
async def raises_of_its_own(cqt: Any) -> None:
    raise RuntimeError("something else")


def test_another_error_says_nothing_of_loops() -> None:
    assert run(raises_of_its_own.delay()).error == "something else"


def test_where_no_worker_runs_it_a_coroutine_that_is_not_atomic_is_told_so() -> None:
    run(both_want_a_lock.using(atomic=False).delay())
    second = run(both_want_a_lock.using(atomic=False).delay())
    assert "Where no worker runs it, a coroutine has an event loop" in second.error
    assert "atomic=False" not in second.error
