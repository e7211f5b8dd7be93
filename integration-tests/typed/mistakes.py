"""Mistakes that type checkers have to find, and what each of them says where.

The comment above a line has the codes of mypy's errors and the rules of pyright's.
"""

# pyright: standard

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cq import Limit, chain, group, task

from .known import count, fetch, send, total

if TYPE_CHECKING:
    from cq.models import Task


def calls() -> None:
    # E: call-arg | reportCallIssue
    send()
    # E: arg-type | reportArgumentType
    send(1)
    # E: call-arg | reportCallIssue
    send.delay()
    # E: arg-type | reportArgumentType
    send.delay(1)
    # E: arg-type | reportArgumentType
    send.delay("a", copies="two")
    # E: call-arg | reportCallIssue
    send.delay("a", colour="red")
    # E: arg-type | reportArgumentType
    fetch.delay(b"x")
    # E: attr-defined | reportAttributeAccessIssue
    send.dely("a")


async def coroutines() -> None:
    # E: misc | reportGeneralTypeIssues
    await send("a")
    # E: misc | reportGeneralTypeIssues
    await send.delay("a")
    # E: arg-type | reportArgumentType
    await fetch(b"x")
    # E: arg-type | reportArgumentType
    await send.adelay(1)
    # E: unused-coroutine | reportUnusedCoroutine
    fetch("a")
    # E: assignment | reportAssignmentType
    text: str = await fetch("a")
    print(text)


def results(handle: Task[str]) -> None:
    # E: assignment | reportAssignmentType
    number: int = send.delay("a").get()
    # E: assignment | reportAssignmentType
    number = handle.result
    # E: assignment | reportAssignmentType
    number = send.using(queue="mail").delay("a").wait().result
    # E: assignment | reportAssignmentType
    number = send.delay_many([("a",)])[0].get()
    # E: assignment | reportAssignmentType
    narrower: Task[int] = handle
    # E: attr-defined | reportAttributeAccessIssue
    print(number, narrower, handle.reslut)


def options() -> None:
    # E: call-arg | reportCallIssue
    send.using(queu="mail")
    # E: arg-type | reportArgumentType
    send.using(priority="high")
    # E: call-arg | reportCallIssue
    send.using(queue="mail").using(retires=3)
    # E: arg-type | reportArgumentType
    send.using(on_lost="ignore")
    # E: call-arg | reportCallIssue
    send.using(retry_on=(OSError,))
    # E: arg-type | reportArgumentType
    send.using(backoff=lambda attempt: 2.0 * attempt)
    # E: arg-type | reportArgumentType
    send.using(limits=[Limit(concurrency="2")])
    # E: call-arg | reportCallIssue
    send.using(limits=[Limit(rates="1/s")])
    # E: list-item | reportArgumentType
    send.using(limits=[2])
    # E: arg-type | reportArgumentType
    send.using(queue="mail").delay(1)
    # E: operator | reportCallIssue
    send.using(queue="mail")("a")
    # E: call-arg | reportCallIssue
    send.s("a").using(queu="mail")


# E: call-overload, untyped-decorator | reportCallIssue
@task(queu="mail")
def wrong_option(cqt: Task) -> None: ...


# E: call-overload, untyped-decorator | reportArgumentType
@task("typed.wrong_value", retries="3")
def wrong_value(cqt: Task) -> None: ...


# E: arg-type | reportArgumentType, reportCallIssue
@task
def without_a_run() -> None: ...


# E: arg-type | reportArgumentType, reportCallIssue
@task(timeout=timedelta(minutes=1))
def without_a_run_too() -> None: ...


def calls_not_made_yet() -> None:
    # E: assignment | reportAssignmentType
    number: int = send.s("a").delay().get()
    # E: assignment | reportAssignmentType
    number = chain(count.s(), send.s()).delay().get()
    # E: assignment | reportAssignmentType
    number = (count.s() | send.s()).delay().get()
    # E: assignment | reportAssignmentType
    numbers: list[int] = group(send.s("a"), send.s("b")).delay().get()
    # E: call-overload | reportArgumentType
    group(send.s("a"), "b")
    # E: call-overload | reportArgumentType
    chain(count.s(), 1)
    # E: operator | reportOperatorIssue, reportUnusedExpression
    count.s() | 1
    print(number, numbers)


@task
def parent(cqt: Task, text: str) -> int:
    # E: call-overload | reportCallIssue
    cqt.subtask(send)
    # E: call-overload | reportArgumentType, reportCallIssue
    cqt.subtask(send, 1)
    # E: call-arg | reportCallIssue
    cqt.subtask(send, text, colour="red")
    # E: call-overload | reportArgumentType, reportCallIssue
    cqt.subtask(send.using(queue="mail"), 1)
    # E: call-overload | reportArgumentType, reportCallIssue
    cqt.subtask(send.s(text), text)
    # E: call-overload | reportArgumentType, reportCallIssue
    cqt.subtask(print)
    # E: call-overload | reportArgumentType, reportCallIssue
    cqt.errorback(send, 1)
    # E: arg-type | reportArgumentType, reportCallIssue
    cqt.subtask(send, text, cqt.subtask(count))
    # E: list-item | reportArgumentType, reportCallIssue
    cqt.subtask(total, ["one"])
    # E: arg-type | reportArgumentType
    cqt.chain("send")
    # E: return-value | reportReturnType
    return cqt.subtask(send, text).get()


@task
async def async_parent(cqt: Task) -> int:
    # E: call-overload | reportArgumentType, reportCallIssue
    await cqt.asubtask(send, 1)
    # E: call-overload | reportCallIssue
    await cqt.aerrorback(send)
    # E: unused-coroutine | reportUnusedCoroutine
    cqt.asubtask(send, "a")
    # E: return-value | reportReturnType
    return (await cqt.asubtask(send, "a")).result
