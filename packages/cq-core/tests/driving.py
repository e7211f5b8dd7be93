"""Takes recorded tasks through their steps one by one, so that each can be looked at.

For tests with ``CQ_RUN_INLINE = False``, where nothing runs by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.db import connections

from cq import lifecycle
from cq.db.statements import uuid_param
from cq.execution import async_runner, sync_runner
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

WORKER = 77


def claim(task: Task, now: datetime | None = None, worker: int = WORKER) -> Task:
    """Claim this very task, which must be QUEUED."""
    using = task._state.db
    assert using is not None
    param = uuid_param(connections[using], task.pk)
    (claimed,) = lifecycle.claim(using, worker, "id = %s", [param], 1, now)
    return claimed


def run(task: Task, now: datetime | None = None) -> Task:
    """Claim and run this very task; return it as it is then."""
    sync_runner.execute(claim(task, now), now=now)
    return fresh(task)


def run_on_a_loop(handle: Task) -> Task:
    """As `run`, for a coroutine that is not atomic: awaited on a loop of its own."""

    async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.to_thread(_and_close, function, args)

    async def execute() -> None:
        await async_runner.execute(claimed, None, in_thread)

    claimed = claim(handle)
    async_to_sync(execute)()
    return fresh(handle)


def _and_close(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    finally:
        connections.close_all()


def run_all(limit: int = 1000) -> list[str]:
    """Run what is QUEUED until nothing is; the names in the order they ran."""
    names: list[str] = []
    while found := Task.objects.filter(status=Status.QUEUED).order_by("pk").first():
        names.append(found.name.rpartition(".")[2])
        assert len(names) <= limit
        run(found)
    return names


def fresh(task: Task) -> Task:
    return Task.objects.using(task._state.db).get(pk=task.pk)
