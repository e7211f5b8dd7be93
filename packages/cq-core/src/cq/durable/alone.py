"""The steps of a coroutine, of which one is under way at a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cq.runs.run import Run

#: The run in whose step this very code is.
_within: ContextVar[Any] = ContextVar("cq_within_step", default=None)


@asynccontextmanager
async def alone(run: Run | None, name: str) -> AsyncIterator[None]:
    """A block in which one step of a coroutine is under way.

    Raises TypeError beside another one, as by ``asyncio.gather``: once that has ended, for
    the function is left by it, and what that step did would be kept nowhere.

    run: None: of code that is in none, which is told so by what it calls.
    """
    if run is None:
        yield
        return
    await behind_others(run, name)
    ended = run.under_way = asyncio.get_running_loop().create_future()
    token = _within.set(run)
    try:
        yield
    finally:
        _within.reset(token)
        run.under_way = None
        ended.set_result(None)


async def behind_others(run: Run | None, name: str) -> None:
    """Raise TypeError where a step is under way: within it, or once it has ended."""
    await not_beside(run, name)
    if run is not None and run.under_way is not None:
        raise not_alone(name)


async def not_beside(run: Run | None, name: str) -> None:
    """Raise TypeError beside a step that is under way, once it has ended."""
    if run is None or run.under_way is None or _within.get() is run:
        return
    await asyncio.wait([run.under_way])
    raise not_alone(name)


def not_alone(name: str) -> TypeError:
    """Return what is raised where a step is begun within another one, or beside it."""
    return TypeError(
        f"{name!r} is begun within another step, or beside one that has not ended. Steps "
        "come one after the other: call the function itself, or begin it behind"
    )
