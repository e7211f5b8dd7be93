"""Tasks that call others, for the traces of real workers."""

from __future__ import annotations

import asyncio
from typing import Any

from cq import task


@task
def ends(cqt: Any, secret: str) -> str:
    return secret


@task
def calls_one_below(cqt: Any, secret: str) -> Any:
    return cqt.subtask(ends, secret)


@task(retries=1, backoff=0)
def fails_then_calls(cqt: Any, secret: str) -> Any:
    if cqt.attempt == 1:
        raise ValueError("not yet")
    return cqt.subtask(ends, secret)


#: By event loop: those that have come, and what tells that both have.
_meeting: dict[asyncio.AbstractEventLoop, tuple[list[Any], asyncio.Event]] = {}


@task(atomic=False)
async def meets_another(cqt: Any, secret: str) -> Any:
    """Goes on once another run of it is on the same loop, so that they are mixed."""
    loop = asyncio.get_running_loop()
    come, both = _meeting.setdefault(loop, ([], asyncio.Event()))
    come.append(cqt.id)
    if len(come) == 2:
        both.set()
    await both.wait()
    return await cqt.asubtask(ends, secret)
