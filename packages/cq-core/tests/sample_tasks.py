"""Tasks that the tests share."""

from __future__ import annotations

import logging
from typing import Any

from cq import task


@task
def send_email(cqt: Any, addr: str) -> str:
    return "OK"


@task
def send_emails(cqt: Any, addrs: list[str]) -> str:
    for addr in addrs:
        cqt.subtask(send_email, addr)
    return "SENT"


@task
def calc_a(cqt: Any, a: int) -> int:
    return a


@task
def add_a_to_4(cqt: Any, a: int, b: int) -> int:
    return a + b


@task
def previous_result(cqt: Any) -> Any:
    return cqt.previous.result * 2


@task
def calculate_something(cqt: Any) -> Any:
    return calc_a.delay(3).chain(add_a_to_4, (4,))


@task
def merge(cqt: Any, values: list[Any]) -> Any:
    return list(values)


@task
def merge_squares(cqt: Any, n: int) -> Any:
    return cqt.subtask(merge, [cqt.subtask(square, i) for i in range(n)])


@task
def square(cqt: Any, n: int) -> int:
    return n * n


@task
def fails(cqt: Any, message: str = "no") -> None:
    raise ValueError(message)


@task
def logs_lines(cqt: Any, n: int) -> None:
    for i in range(n):
        cqt.log(f"line {i}", logging.INFO)


@task
async def asquare(cqt: Any, n: int) -> int:
    return n * n
