"""What a project may put around each run: a middleware, and a carrier of its own."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from cq.context import contextvars

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
request_id = contextvars("request", REQUEST_ID)
seconds = 0.0


def timing(call_next: Callable[[Any], Any], run: Any) -> Any:
    """Measure each run: the least that a middleware is of use for."""
    global seconds
    began = time.perf_counter()
    try:
        return call_next(run)
    finally:
        seconds += time.perf_counter() - began
