"""The consumer of sockets that watch tasks, or the whole.

Each state is read when it is sent, so a socket may be cut at any time: who connects again
and says which line was the last goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from . import sockets
from .access import person_of, sight_of, viewer_of
from .hub import hub
from .message import Pausing, Unwatching, Watching, parse
from .origin import is_own
from .sight import FORBIDDEN, GONE, RAN_OUT, Denied
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

    from cq.live.whole import Whole

    from .access import Viewer

logger = logging.getLogger("cq.live")

#: Codes that a socket is closed with, beside those of `sight`.
UNREADABLE, SILENT, TOO_MUCH = 4400, 4408, 4429
#: Tasks that one socket may watch.
MOST_WATCHES = 20
#: Messages that one socket may send, within so many seconds.
MOST_MESSAGES, WITHIN_SECONDS = 60, 10.0
#: Seconds to say what is to be watched.
SILENT_SECONDS = 10.0
#: Seconds from one look at who may watch to the next.
LOOK_AGAIN_SECONDS = 30.0


class LiveConsumer(AsyncWebsocketConsumer):
    """A socket, and the tasks that it watches."""

    # Of the channel layer nothing is wanted here: whatever becomes of it, the socket stays.
    channel_layer_alias = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watches: dict[UUID | Whole, tuple[Watch, asyncio.Task[None]]] = {}
        self._guard: asyncio.Task[None] | None = None
        self._counted: Hashable = None
        #: Set with the first task that it watches.
        self._began = asyncio.Event()
        self._paused = False
        self._closed = False
        self._messages = 0
        self._since = 0.0

    # --- what Channels calls ----------------------------------------------------------

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        except Exception:
            logger.exception("a socket is closed: what it said could not be done")
            await self._end(1011)
        finally:
            # Of an error Channels calls no `disconnect`.
            self._stop()

    async def connect(self) -> None:
        if not is_own(self.scope):
            await self._end(FORBIDDEN)
            return
        await self.accept()
        self._guard = asyncio.create_task(self._look_again())

    async def disconnect(self, code: int) -> None:
        self._stop()

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> None:
        if self._closed:
            return
        if self._is_flood():
            await self._end(TOO_MUCH)
            return
        try:
            said = parse(text_data)
        except ValueError:
            await self._end(UNREADABLE)
            return
        try:
            await self._do(said)
        except Denied as error:
            await self._end(error.code)

    # --- what is asked for ------------------------------------------------------------

    async def _do(self, said: Watching | Unwatching | Pausing) -> None:
        if isinstance(said, Watching):
            await self._watch(said)
        elif isinstance(said, Unwatching):
            self._unwatch(said.subject)
        else:
            self._paused = said.paused
            for watch, _running in self._watches.values():
                watch.pause(said.paused)

    async def _watch(self, said: Watching) -> None:
        self._unwatch(said.subject)
        if len(self._watches) >= MOST_WATCHES:
            raise Denied(TOO_MUCH)
        viewer = await self._viewer()
        sight = await database_sync_to_async(sight_of)(viewer, said.subject, said.token)
        if self._closed:
            return
        self._count(viewer.key or f"token {said.token}")
        watch = Watch(
            said.subject,
            sight,
            said.after,
            said.token,
            self._send_state,
            partial(self._end, GONE),
        )
        watch.paused = self._paused
        running = asyncio.create_task(self._run(watch))
        self._watches[said.subject] = watch, running

    def _unwatch(self, subject: UUID | Whole) -> None:
        found = self._watches.pop(subject, None)
        if found is not None:
            found[1].cancel()

    async def _run(self, watch: Watch) -> None:
        try:
            await watch.run()
        except Exception:
            logger.warning(
                "a socket is closed: what it watches cannot be read", exc_info=True
            )
            await self._end(1011)

    async def _send_state(self, state: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(state))

    # --- who may ----------------------------------------------------------------------

    async def _viewer(self) -> Viewer:
        return await database_sync_to_async(viewer_of)(self.scope)

    def _count(self, who: Hashable) -> None:
        """Count this socket for its user, once."""
        if self._counted is not None:
            return
        if not sockets.take(who):
            raise Denied(TOO_MUCH)
        self._counted = who
        self._began.set()

    def _is_flood(self) -> bool:
        now = time.monotonic()
        if now - self._since > WITHIN_SECONDS:
            self._since, self._messages = now, 0
        self._messages += 1
        return self._messages > MOST_MESSAGES

    async def _look_again(self) -> None:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                await self._began.wait()
        except TimeoutError:
            await self._end(SILENT)
            return
        while True:
            await asyncio.sleep(self._until_next_look())
            try:
                await self._look_at_rights()
            except Denied as error:
                await self._end(error.code)
                return
            except Exception:
                # Without an answer nobody is let see more.
                logger.warning("a socket is closed: who it is of cannot be read")
                await self._end(1011)
                return

    def _until_next_look(self) -> float:
        """Return the seconds until all sockets of one person look, and others at others."""
        every = LOOK_AGAIN_SECONDS
        phase = hash(person_of(self.scope)) % 1_000 / 1_000 * every
        return every - (time.monotonic() + phase) % every

    async def _look_at_rights(self) -> None:
        # One look for all sockets of a person: two hundred would be a load of their own.
        person = person_of(self.scope)
        viewer = await hub().once(person, partial(viewer_of, self.scope))
        for watch, _running in list(self._watches.values()):
            seen = watch.subject, watch.token
            look = partial(sight_of, viewer, *seen)
            try:
                watch.sight = await hub().once((person, *seen), look)
            except Denied as error:
                raise Denied(error.code if watch.token is None else RAN_OUT) from None

    # --- the end ----------------------------------------------------------------------

    async def _end(self, code: int) -> None:
        if not self._closed:
            self._stop()
            with contextlib.suppress(Exception):  # the other side may be gone
                await self.close(code=code)

    def _stop(self) -> None:
        self._closed = True
        me = asyncio.current_task()
        tasks = [running for _watch, running in self._watches.values()]
        self._watches.clear()
        for task in (*tasks, self._guard):
            if task is not None and task is not me:
                task.cancel()
        if self._counted is not None:
            sockets.give_back(self._counted)
            self._counted = None
