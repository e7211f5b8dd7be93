"""Tasks that never end by themselves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from django.db import connection

from cq import OutOfTime, RetryLater, Revoked, task

from . import begun
from .models import Effect


def spin() -> None:
    while True:
        time.sleep(0.001)


@task
def spins(cqt: Any, key: int) -> None:
    if connection.vendor != "sqlite":
        # There it would hold the one write lock, and nobody could revoke it.
        Effect.objects.create(key=key)
    cqt.log("spinning")
    spin()


#: It runs on in the server for as long as nobody cancels it there.
QUERY = {
    "postgresql": "SELECT pg_sleep(3600)",
    "mysql": "SELECT sleep(3600) FROM cq_tasks",
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    " SELECT count(*) FROM n WHERE x < 0",
}


@task
def asks(cqt: Any, key: int) -> None:
    if connection.vendor != "sqlite":
        Effect.objects.create(key=key)
    cqt.log("spinning")
    with connection.cursor() as cursor:
        cursor.execute(QUERY[connection.vendor])


@task(atomic=False)
def spins_openly(cqt: Any, key: int) -> None:
    cqt.log("spinning")
    try:
        spin()
    except (Revoked, OutOfTime):
        Effect.objects.create(key=key)
        raise


@task(atomic=False)
async def awaits(cqt: Any, key: int) -> None:
    await cqt.alog("spinning")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await Effect.objects.acreate(key=key)
        raise


@task(atomic=False)
def until_told(cqt: Any) -> int:
    Effect.objects.create(key=cqt.attempts)
    while cqt.attempts == 1:
        time.sleep(0.001)
        if cqt.stopping:
            raise RetryLater(0)
    return cqt.attempts


@task(atomic=False)
def says_that_it_stops(cqt: Any, key: int) -> None:
    """Makes the effect of this key when it is told, and ends with that of the next."""
    begun.say(cqt)
    while not cqt.stopping:
        time.sleep(0.001)
    Effect.objects.create(key=key)
    while not Effect.objects.filter(key=key + 1).exists():
        time.sleep(0.02)


@task(atomic=False)
async def awaits_being_told(cqt: Any) -> int:
    await Effect.objects.acreate(key=cqt.attempts)
    while cqt.attempts == 1:
        await asyncio.sleep(0.001)
        if cqt.stopping:
            raise RetryLater(0)
    return cqt.attempts


@task(atomic=False)
def counts(cqt: Any, key: int) -> None:
    while True:
        pass


async def deeper() -> None:
    await asyncio.sleep(3600)


@task(atomic=False)
async def awaits_deeper(cqt: Any, key: int) -> None:
    await asyncio.gather(asyncio.create_task(deeper()))


@task(atomic=False)
async def keeps_the_loop(cqt: Any, key: int) -> None:
    spin()
