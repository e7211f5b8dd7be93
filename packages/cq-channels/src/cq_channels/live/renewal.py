"""The renewal of what is watched from here, so that who runs it sends messages."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from channels.db import database_sync_to_async

from cq.conf import conf
from cq.db import outage
from cq.watching.watchers import RENEW_SECONDS, renew

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger("cq.live")


class Renewal:
    """The trees that are watched on one event loop, and the task that says so."""

    def __init__(self) -> None:
        #: How many watched tasks are in each.
        self._roots: dict[UUID, int] = {}
        self._new = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, root: UUID) -> None:
        if root not in self._roots:
            self._new.set()
        self._roots[root] = self._roots.get(root, 0) + 1
        if self._task is None:
            self._task = asyncio.create_task(self._renew())

    def discard(self, root: UUID) -> None:
        self._roots[root] -= 1
        if not self._roots[root]:
            del self._roots[root]
        if not self._roots and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _renew(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._new.wait()
            except TimeoutError:
                pass
            self._new.clear()
            try:
                await database_sync_to_async(renew)(conf.DATABASE, list(self._roots))
            except Exception as error:
                # Who watches looks every two seconds all the same.
                outage.log(logger, error, "what is watched could not be noted")
