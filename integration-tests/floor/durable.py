"""Durable tasks of real workers, which go on until an effect is there."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cq import Limit, task

from . import begun
from .models import Effect


def is_over(key: int) -> bool:
    return Effect.objects.filter(key=key + 1).exists()


@task(durable=True)
def talks(cqt: Any, key: int) -> int:
    """Has the effect of `key` once it has begun, and ends with that of the next."""
    Effect.objects.get_or_create(key=key)
    while not is_over(key):
        cqt.log("still here", publish=False, limit=5)
        time.sleep(0.005)
    return int(cqt.attempts)


@task(durable=True)
async def talks_openly(cqt: Any, key: int) -> int:
    await Effect.objects.aget_or_create(key=key)
    while not await Effect.objects.filter(key=key + 1).aexists():
        await cqt.alog("still here", publish=False, limit=5)
        await asyncio.sleep(0.005)
    return int(cqt.attempts)


@task(durable=True, limits=[Limit(concurrency=1, key="the one place")])
def waits_in_the_place(cqt: Any, number: int) -> Any:
    """Holds the one place of its key until it waits."""
    return cqt.wait_for(f"go {number}")


def _lasts(key: int) -> None:
    # Without a word to the database: on SQLite it would keep all others from writing.
    begun_at = time.monotonic()
    while time.monotonic() - begun_at < 3600:
        time.sleep(0.01)


def _ends(key: int) -> None:
    Effect.objects.create(key=key)


@task(durable=True)
def in_a_step(cqt: Any, key: int) -> int:
    """Is in its step for longer than any drain, the first time."""
    begun.say(cqt)
    cqt.step("before", _ends, key)
    cqt.step("lasts", _ends if is_over(key) else _lasts, key + 2)
    return int(cqt.attempts)
