"""The writes of a durable run outside of its steps, which each rerun does again: told of.

At the level DEBUG alone, and once a task in each process. Nothing looks at statements
below that, nor at those of other runs.
"""

from __future__ import annotations

import logging
import re
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connections

from cq.db import internals
from cq.hooks.hearing import heard

from .run import current_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from uuid import UUID

    from .run import Run

logger = logging.getLogger("cq.runner")

_WRITES = re.compile(
    r"\s*(?:INSERT\s+(?:\w+\s+){0,2}INTO|UPDATE|DELETE\s+FROM|REPLACE\s+INTO|MERGE\s+INTO)"
    r"\s+[\"`]?(\w+)",
    re.IGNORECASE,
)
#: Of cq's own tables: what is written there is found by a rerun.
_OWN = "cq_"
_told: set[UUID] = set()
_MOST_TOLD = 10_000


@contextmanager
def watched() -> Iterator[None]:
    """A block in which the writes of a durable run are looked at, where that is wanted."""
    found = _watch() if logger.isEnabledFor(logging.DEBUG) else []
    try:
        yield
    finally:
        _unwatch(found)


@asynccontextmanager
async def awatched(run: Run) -> AsyncIterator[None]:
    """As `watched`, on an event loop, for any run."""
    if not run.durable or not logger.isEnabledFor(logging.DEBUG):
        yield
        return
    found = await sync_to_async(_watch)()
    try:
        yield
    finally:
        _unwatch(found)


def _watch() -> list[Any]:
    """Look at the statements of this thread's connections; return these."""
    found: list[Any] = list(connections.all(initialized_only=True))
    for connection in found:
        internals.watch_statements(connection, _look)
    return found


def _unwatch(found: list[Any]) -> None:
    for connection in found:
        internals.stop_watching(connection, _look)


def _look(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
) -> Any:
    run = current_run()
    # Of a loop's coroutines each comes by with its own.
    if run is not None and run.durable and run.step is None and not heard.get():
        written = _WRITES.match(sql) if isinstance(sql, str) else None
        if written and not written[1].startswith(_OWN):
            _tell(run, written[1])
    return execute(sql, params, many, context)


def _tell(run: Run, table: str) -> None:
    task = run.task
    if task.pk in _told:
        return
    if len(_told) >= _MOST_TOLD:
        _told.clear()
    _told.add(task.pk)
    logger.debug(
        "%s %s writes to %s outside of its steps, and does so again in each rerun; what "
        "is to happen once belongs into a step",
        task.name,
        task.pk,
        table,
        extra={"task_id": str(task.pk), "attempt": task.attempts},
    )
