"""Tasks that the tests repeat."""

from __future__ import annotations

from typing import Any

from cq import task


@task
def report(cqt: Any, number: int = 0, *, to: str = "all") -> str:
    return f"{number} to {to}"


@task
def nightly(cqt: Any) -> str:
    return "done"


@task(unique="one-at-a-time")
def single(cqt: Any) -> None:
    pass


@task(queue="mail", priority=7)
def mailing(cqt: Any) -> None:
    pass


@task("repeating_samples.by_code", schedulable=False)
def by_code(cqt: Any) -> None: ...


@task("repeating_samples.remembered", unique="remembered {number}", unique_for=3600)
def remembered(cqt: Any, number: int = 0) -> int:
    return number
