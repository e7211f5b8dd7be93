"""One watch of a socket: it sends what has changed, never faster than it is read."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from .hub import hub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from cq.live.whole import Whole

    from .hub import Shared
    from .sight import Sight

#: Seconds from one message to the next.
BETWEEN_SECONDS = 0.5
#: Seconds that a message may take until its reader is a slow one.
SLOW_SECONDS = 1.0


class Watch:
    """A task that a socket watches, or the whole.

    after: the number of the last line that is known there; None: none.
    token: by which it is seen; None: by the session. send: sends a message.
    gone: called when there is no such task.
    """

    def __init__(
        self,
        subject: UUID | Whole,
        sight: Sight,
        after: int | None,
        token: str | None,
        send: Callable[[dict[str, Any]], Awaitable[None]],
        gone: Callable[[], Awaitable[None]],
    ) -> None:
        self.subject = subject
        self.sight = sight
        self.token = token
        self.paused = False
        self._after = after
        self._send = send
        self._gone = gone
        #: The newest that it was told of; what comes meanwhile takes its place.
        self._newest: Shared | None = None
        self._told = asyncio.Event()
        self._sent = ""
        self._slow = False
        #: Whether it was paused, and was not told of anything.
        self._rested = False

    def tell(self, shared: Shared | None) -> None:
        """Take what was read; None: the task is not there any more."""
        self._newest = shared
        self._told.set()

    def pause(self, paused: bool) -> None:
        """Send nothing for now, or go on with what has changed meanwhile."""
        self.paused = paused
        if not paused:
            self._rested = True
            self._told.set()

    async def run(self) -> None:
        """Send a snapshot, then changes, until cancelled."""
        watched = hub().join(self.subject, self)
        try:
            self.tell(await watched.now())
            while True:
                await self._told.wait()
                self._told.clear()
                if self.paused:
                    continue
                if self._rested:
                    self._rested = False
                    self._newest = await watched.now()
                if self._newest is None:
                    await self._gone()
                    return
                if await self._tell_socket(self._newest):
                    await asyncio.sleep(BETWEEN_SECONDS)
        finally:
            hub().leave(self.subject, self)

    async def _tell_socket(self, shared: Shared) -> bool:
        """Send what is new in a reading; return whether anything was."""
        sight, known = self.sight, self._after
        if sight.etag(shared.reading, known) == self._sent:
            return False
        # Who is slow skips to the last lines; who only comes late gets all that follow.
        after = None if self._slow else known
        state = await shared.state(sight, after)
        if after is None and known is not None:
            state = _skipped(state, known)
        lines = state.get("log")
        if lines:
            self._after = lines[-1]["n"]
        elif self._after is None and "log" in state:
            self._after = 0
        began = time.monotonic()
        await self._send(state)
        self._slow = time.monotonic() - began > SLOW_SECONDS
        self._sent = sight.etag(shared.reading, self._after)
        if state.get("more") and after is not None:
            self._sent = ""
            self._told.set()
        return True


def _skipped(state: dict[str, Any], known: int) -> dict[str, Any]:
    """Return the last lines behind those that are known, with a word of what is missing."""
    lines = [line for line in state["log"] if line["n"] > known]
    gap = len(lines) == len(state["log"]) and bool(state["more"])
    return {**state, "log": lines, "more": False, "gap": gap}
