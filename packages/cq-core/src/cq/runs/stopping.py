"""The workers of this process that have been told to stop, as their tasks may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: By worker: whether it has been told to stop.
_told: dict[int, Callable[[], bool]] = {}


def watch(worker: int, is_told: Callable[[], bool]) -> None:
    """Answer `is_stopping` of a worker by this function, from now on."""
    _told[worker] = is_told


def forget(worker: int) -> None:
    """Forget a worker of which nothing runs any more."""
    _told.pop(worker, None)


def is_stopping(worker: int) -> bool:
    """Tell whether this worker has been told to stop; False for one that never is."""
    is_told = _told.get(worker)
    return is_told is not None and is_told()
