"""The ears of a web process: one for all that is watched in it."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from cq_channels.live_messages.ways import way
from cq_channels.waiters.listener import SettledListener

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from uuid import UUID

    from cq_channels.live_messages.ways import Way

#: By the database, and the way there is for it.
_ears: dict[tuple[str, str], SettledListener] = {}


def listen(
    using: str, root: UUID, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]
) -> Callable[[], None] | None:
    """Call `ring` on the loop when a tree has changed; return what ends that.

    root: EVERYTHING is for any tree.

    None: there is no way to hear of it.
    """
    taken = way(using)
    if taken is None:
        return None
    key = using, type(taken).__name__
    if key not in _ears:
        _ears[key] = _ear(taken)
    return _ears[key].listen(root.hex, partial(_ring, loop, ring))


def _ear(taken: Way) -> SettledListener:
    ear = SettledListener(lambda heard, over: taken.hear(heard, ear.waiting, over))
    return ear


def _ring(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(ring)
