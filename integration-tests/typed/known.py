"""What type checkers know of the public names. Neither finds a mistake in here."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

from cq import Limit, chain, group, task
from cq.calling.canvas import Signature
from cq.models import Task
from cq.models.handles import Handles
from cq_scheduler import repeat


@task
def send(cqt: Task, address: str, copies: int = 1) -> str:
    return address * copies


@repeat("0 7 * * *", args=("https://example.org",))
@task(name="typed.fetch", atomic=False, retries=3, timeout=5, retry_on=[OSError])
async def fetch(cqt: Task, url: str) -> bytes:
    return url.encode()


@task("typed.count", queue="mail", backoff=[1, timedelta(minutes=5)], on_lost="fail")
def count(cqt: Task) -> int:
    return 1


def _by_number(number: int) -> str:
    return f"number {number}"


@task(
    limits=[
        Limit(concurrency=2, key="{number}"),
        Limit(rate="90/s", burst=2),
        "stripe",
    ],
    fair=_by_number,
)
def limited(cqt: Task, number: int) -> int:
    return number


@task
def total(cqt: Task, counts: list[int]) -> int:
    return sum(counts)


@task
def count_all(cqt: Task) -> Task[int]:
    """A handle that is returned stands for its result."""
    counts = [cqt.subtask(count) for _ in range(3)]
    return cqt.subtask(total, counts)


@task
async def count_later(cqt: Task) -> Task[int]:
    return await cqt.asubtask(count)


def of_calls() -> None:
    assert_type(send("a@b.org"), str)
    assert_type(send("a@b.org", copies=2), str)
    assert_type(count_all(), int)


async def of_coroutines() -> None:
    coroutine = fetch("https://example.org")
    assert_type(await assert_type(coroutine, Coroutine[Any, Any, bytes]), bytes)
    assert_type(await count_later(), int)
    assert_type(await send.adelay("a@b.org"), Task[str])
    handle = await fetch.adelay(url="https://example.org")
    assert_type(handle, Task[bytes])
    assert_type(await handle.await_(), Task[bytes])
    assert_type(await handle.aget(), bytes)
    assert_type(await send.adelay_many([("a",)]), Handles[Task[str]])
    assert_type(await group(send.s("a")).adelay(), Task[list[str]])


def of_handles() -> None:
    handle = send.delay("a@b.org", 2)
    assert_type(handle, Task[str])
    assert_type(handle.result, str)
    assert_type(handle.get(timeout=1), str)
    assert_type(handle.wait(), Task[str])
    assert_type(fetch.delay("https://example.org").get(), bytes)
    assert_type(count_all.delay(), Task[int])
    assert_type(count_later.delay(), Task[int])
    handles = send.delay_many([("a",), ("b", 2)])
    assert_type(handles, Handles[Task[str]])
    assert_type(handles[0].get(), str)
    assert_type(handles[1:].wait(), Handles[Task[str]])


def of_options() -> None:
    urgent = send.using(queue="mail", priority=5, run_after=timedelta(1))
    assert_type(urgent.delay("a").get(), str)
    assert_type(urgent.using(result_ttl="7d", timeout=timedelta(1)).s(), Signature[str])
    assert_type(send.s("a").using(unique="a").delay(), Task[str])
    rate = Limit(rate="1/m", key=_by_number)
    assert_type(send.using(limits=[rate, "stripe"], fair="a").delay("a"), Task[str])
    assert_type(limited.using(limits=[], fair=None).s(1).delay(), Task[int])


def of_calls_not_made_yet() -> None:
    assert_type(send.s("a").delay().result, str)
    assert_type(fetch.si("a").delay(), Task[bytes])
    assert_type(group([count.s(), count.s()]).delay().get(), list[int])
    assert_type(group(send.s(str(n)) for n in range(3)).delay(), Task[list[str]])
    assert_type(group(count.s(), count).delay(), Task[list[int]])
    assert_type(chain(send.s("a"), fetch.s()).delay(), Task[bytes])
    assert_type(chain(count, send.s("a"), group(total, total)).delay(), Task[list[int]])
    assert_type((send.s("a") | fetch.s()).delay().get(), bytes)
    assert_type((send.s("a") | fetch.s() | count).delay().get(), int)


def of_a_run(cqt: Task) -> None:
    assert_type(cqt.subtask(send, "a", copies=2), Task[str])
    assert_type(cqt.subtask(send, ("a", 2)), Task[str])
    assert_type(cqt.subtask(send.s("a")), Task[str])
    assert_type(cqt.subtask(send.using(queue="mail"), "a"), Task[str])
    assert_type(cqt.subtask(group(count.s())), Task[list[int]])
    assert_type(cqt.subtask(send, cqt.subtask(send, "a"), copies=2), Task[str])
    assert_type(cqt.subtask(send, send.delay("a"), count.delay()), Task[str])
    assert_type(cqt.subtask(send.s("a", count.delay())), Task[str])
    assert_type(cqt.subtask(fetch, "a").chain(send, when="settled"), Task[str])
    assert_type(cqt.subtask(count).errorback(send, "a"), Task[str])
    assert_type(cqt.chain(total).get(), int)
    for number in cqt.track([1, 2]):
        assert_type(number, int)


async def of_a_run_that_is_a_coroutine(cqt: Task) -> None:
    assert_type(await cqt.asubtask(send, "a"), Task[str])
    assert_type(await cqt.asubtask(send.s("a")), Task[str])
    assert_type(await cqt.asubtask(send, send.delay("a")), Task[str])
    assert_type(await cqt.achain(send), Task[str])
    assert_type(await cqt.aerrorback(send, "a"), Task[str])


def of_rows(anything: Task) -> None:
    """A handle of a known result goes where one of any result is wanted."""
    assert_type(anything.id, UUID)
    assert_type(anything.status, str)
    assert_type(anything.error, str | None)
    assert_type(send.delay("a").submitted, datetime)
    assert_type(anything.ready, datetime | None)
    assert_type(anything.ready_at, datetime | None)
    assert_type(anything.waited(), timedelta | None)
    assert_type(Task.objects.get(pk=anything.pk), Task)
    assert_type(anything.get(), Any)
    of_rows(send.delay("a"))
    of_rows(Task.objects.filter(name=send.name)[0])
    assert_type(Task.objects.filter(name=send.name).retry(), int)
    wider: Task[object] = send.delay("a")
    named: Task[str] = Task.objects.get(pk=wider.pk)
    assert_type(named.get(), str)
    for below in named.subtasks.all():
        assert_type(below, Task)
