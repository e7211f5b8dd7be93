"""What the workers run. Each run of each task writes one row of the ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from django.db.models.functions import Now

from cq import Limit, task

from .models import Deed, Stay, effect


class Flaky(Exception):
    """Raised on purpose, by tasks that succeed later."""


class Hopeless(Exception):
    """Raised on purpose, by tasks that never succeed."""


def _note(cqt: Any, *, atomic: bool = True) -> None:
    effect(cqt, atomic=atomic).save()


# --- one by one -------------------------------------------------------------------------


@task
def write(cqt: Any, before: float = 0.0, after: float = 0.0) -> str:
    """An effect that must be there once; seconds of work before and after it."""
    time.sleep(before)
    _note(cqt)
    cqt.log("written")
    time.sleep(after)
    return "written"


@task(atomic=False)
def at_most_once(cqt: Any, seconds: float = 0.0) -> str:
    _note(cqt, atomic=False)
    time.sleep(seconds)
    return "done"


@task(atomic=False, on_lost="retry")
def at_least_once(cqt: Any, seconds: float = 0.0) -> str:
    _note(cqt, atomic=False)
    cqt.set_progress(1, 2)
    time.sleep(seconds)
    return "done"


@task(atomic=False)
async def coroutine(cqt: Any, seconds: float = 0.0) -> str:
    await effect(cqt, atomic=False).asave()
    await asyncio.sleep(seconds)
    return "done"


@task(atomic=False, on_lost="retry")
async def patient_coroutine(cqt: Any, seconds: float = 0.0) -> str:
    await effect(cqt, atomic=False).asave()
    await asyncio.sleep(seconds)
    return "done"


@task
async def async_write(cqt: Any, seconds: float = 0.0) -> str:
    await effect(cqt, atomic=True).asave()
    await asyncio.sleep(seconds)
    return "written"


@task
def nothing(cqt: Any) -> None:
    """Runs no SQL, so that it is completed in a batch with others."""


# --- that raise -------------------------------------------------------------------------


@task(retries=8, retry_on=(Exception,), backoff=0.5)
def flaky(cqt: Any, times: int) -> str:
    """Undoes its effect some times before it is kept."""
    _note(cqt)
    if cqt.failures < times:
        raise Flaky(f"failure {cqt.failures + 1} of {times}")
    return "at last"


@task(atomic=False, on_lost="retry", retries=8, backoff=0.5)
def flaky_outside(cqt: Any, times: int) -> str:
    _note(cqt, atomic=False)
    if cqt.failures < times:
        raise Flaky(f"failure {cqt.failures + 1} of {times}")
    return "at last"


@task
def fails(cqt: Any) -> None:
    _note(cqt)
    raise Hopeless("as it should")


@task
def handle(cqt: Any) -> str:
    """An errorback."""
    _note(cqt)
    return "handled"


@task(timeout=0.7)
def too_slow(cqt: Any) -> None:
    _note(cqt)
    time.sleep(4.0)


@task
def poison(cqt: Any) -> None:
    """Kills the process that runs it, whenever it is run."""
    _note(cqt)
    os.kill(os.getpid(), signal.SIGKILL)


# --- under limits -----------------------------------------------------------------------

#: At once under one key; and starts under the one that has a rate.
AT_ONCE, STARTS_A_SECOND, BURST = 2, 20, 10


@task(
    atomic=False,
    on_lost="retry",
    limits=[Limit(concurrency=AT_ONCE, key="customer:{key}")],
)
def limited(cqt: Any, key: str, seconds: float = 0.0) -> str:
    _note(cqt, atomic=False)
    stay = Stay.objects.create(key=key, task=cqt.pk, fence=cqt.fence)
    time.sleep(seconds)
    Stay.objects.filter(pk=stay.pk).update(went=Now())
    return "done"


@task(queue="paused")
def pausable(cqt: Any) -> str:
    _note(cqt)
    return "done"


@task(limits=[Limit(rate=f"{STARTS_A_SECOND}/s", burst=BURST, key="rate")])
def metered(cqt: Any) -> str:
    _note(cqt)
    return "done"


# --- workflows --------------------------------------------------------------------------


@task
def leaf(cqt: Any, n: int = 0) -> int:
    _note(cqt)
    return n


@task
def add(cqt: Any, a: int, b: int) -> int:
    _note(cqt)
    return a + b


@task
def total(cqt: Any, values: list[int]) -> int:
    _note(cqt)
    return sum(values)


@task
def tree(cqt: Any, width: int, depth: int) -> int:
    _note(cqt)
    for n in range(width):
        if depth > 1:
            cqt.subtask(tree, width, depth - 1)
        else:
            cqt.subtask(leaf, n)
    return width


@task(atomic=False, on_lost="retry")
def open_tree(cqt: Any, width: int) -> int:
    """Its subtasks run beside it, and those of a lost attempt are revoked."""
    _note(cqt, atomic=False)
    for n in range(width):
        cqt.subtask(leaf, n)
        time.sleep(0.02)
    return width


@task
def fan_in(cqt: Any, n: int) -> Any:
    _note(cqt)
    return cqt.subtask(total, [cqt.subtask(leaf, i) for i in range(n)])


@task
def returns_chain(cqt: Any, n: int) -> Any:
    _note(cqt)
    return leaf.delay(n).chain(add, (4,))


@task
def scheduled(cqt: Any, number: int) -> int:
    _note(cqt)
    return number


# --- of durable tasks -------------------------------------------------------------------


@task(retries=20, retry_on=(Exception,), backoff=0.5)
def take_back(cqt: Any, deed: int) -> int:
    """Take back what a step did; it is tried until it is done."""
    _note(cqt)
    done = Deed.objects.get(pk=deed)
    Deed.objects.create(task=done.task, what=done.what, undoes=deed)
    return deed
