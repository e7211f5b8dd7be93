"""The unique keys of serial runs: a call whose key is live stands for the run that has it."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cq.status import FINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .handle import SerialHandle

#: By key, of what was started here and is not done: in a run, or in one within it.
_holders: ContextVar[dict[str, SerialHandle] | None] = ContextVar(
    "cq_serial_unique", default=None
)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Keep keys until the outermost of these blocks ends."""
    if _holders.get() is not None:
        yield
        return
    token = _holders.set({})
    try:
        yield
    finally:
        _holders.reset(token)


def holder(key: str) -> SerialHandle | None:
    """Return the live run that has a key."""
    task = (_holders.get() or {}).get(key)
    return None if task is None or task.undone or task.status in FINAL else task


def take(key: str, task: SerialHandle) -> None:
    """Give a key to a run, until that has settled."""
    holders = _holders.get()
    if holders is not None:
        holders[key] = task
