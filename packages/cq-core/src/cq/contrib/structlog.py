"""The middleware that says in each event of structlog which task it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import structlog.contextvars as _  # noqa: F401
except ImportError as error:
    raise ImportError(
        "cq.contrib.structlog needs structlog, which is not installed: "
        "pip install cq-core[structlog]"
    ) from error

from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware

from cq.context import bound_to_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["middleware"]


@sync_and_async_middleware
def middleware(call_next: Callable[[Any], Any], run: Any) -> Any:
    """Bind task, task_id, root, attempt, queue and worker while a task runs."""
    if iscoroutinefunction(call_next):
        return _awaited(call_next, run)
    with bound_to_run(_facts(run)):
        return call_next(run)


async def _awaited(call_next: Callable[[Any], Awaitable[Any]], run: Any) -> Any:
    with bound_to_run(_facts(run)):
        return await call_next(run)


def _facts(run: Any) -> dict[str, Any]:
    # Serially there is no worker.
    return {
        "task": run.name,
        "task_id": str(run.id),
        "root": str(run.root_id),
        "attempt": run.attempt,
        "queue": run.queue,
        "worker": getattr(run, "worker_id", None),
    }
