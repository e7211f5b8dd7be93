"""The code of a project that hears of a change: a receiver of a signal, a carrier, middleware.

It is called by whoever has brought the change about, which may be the function of a durable
task. A rerun finds what that has done, and nobody hears of it again. So what it enqueues
is no step of that run, and what it says is no line of its function's own.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Whether the present code was called so; a run that it begins here is no part of that.
heard: ContextVar[bool] = ContextVar("cq_heard", default=False)


@contextmanager
def hearing() -> Iterator[None]:
    """A block in which such code is called."""
    token = heard.set(True)
    try:
        yield
    finally:
        heard.reset(token)
