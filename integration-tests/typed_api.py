"""What type checkers make of the public names; `hatch run types:check` reads it.

Each ``type: ignore`` stands for a mistake that has to be found: mypy says so where one
is not needed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from cq import chain, group, task
from cq.models import Task


@task
def send(cqt: Any, address: str, copies: int = 1) -> str:
    return address * copies


@task(name="typed.fetch", atomic=False, retries=3, timeout=5)
async def fetch(cqt: Any, url: str) -> bytes:
    return url.encode()


def good() -> None:
    assert_type(send("a@b.org"), str)
    assert_type(send("a@b.org", copies=2), str)
    assert_type(fetch("https://example.org"), bytes)
    assert_type(send.delay("a@b.org", 2), Task)
    assert_type(send.using(queue="mail", run_after=timedelta(1)).delay("a"), Task)
    assert_type(group([send.s("a"), fetch.s("b")]).delay(), Task)
    assert_type(chain(send.s("a"), fetch.s("b")).delay(), Task)
    for handle in send.delay_many([("a",), ("b", 2)]):
        assert_type(handle, Task)


async def good_from_a_coroutine() -> None:
    assert_type(await send.adelay("a@b.org"), Task)
    handle = await fetch.adelay(url="https://example.org")
    assert_type(await handle.await_(), Task)


def mistakes() -> None:
    send()  # type: ignore[call-arg]
    send.delay()  # type: ignore[call-arg]
    send.delay(1)  # type: ignore[arg-type]
    send.delay("a", copies="two")  # type: ignore[arg-type]
    send.delay("a", colour="red")  # type: ignore[call-arg]
    fetch.delay(b"x")  # type: ignore[arg-type]
    send.using(queue="mail").delay(1)  # type: ignore[arg-type]
