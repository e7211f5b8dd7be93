"""The ways from who runs tasks to who watches them, and which of them is taken."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections

from cq.conf import conf
from cq.db import poolers
from cq.db.statements import speaks_psycopg
from cq_channels.channel_layers import layers
from cq_channels.doorbells.notify import SEND_SQL, connect

from . import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    #: Called with the ids of trees, in hexadecimal; None: any may have changed.
    Heard = Callable[[Iterable[str] | None], None]

#: Seconds between two looks at whether to go on, and which trees are wanted.
POLL_SECONDS = 0.2
SEND_TIMEOUT_SECONDS = 5.0


class Way(Protocol):
    """A way for messages, which may fail at any time."""

    def send(self, roots: Sequence[UUID]) -> None: ...

    def close(self) -> None: ...

    def hear(
        self, heard: Heard, wanted: Callable[[], set[str]], over: Callable[[], bool]
    ) -> None:
        """Hand on what is heard of the wanted trees until it is `over`."""


def way(using: str) -> Way | None:
    """Return the way for a database; None: who watches looks by themselves."""
    if layers.reaches_others(conf.CHANNEL_LAYER):
        return ByLayer(conf.CHANNEL_LAYER)
    if speaks_psycopg(connections[using]) and not poolers.is_told_of(using):
        return ByNotify(using)
    return None


class ByNotify:
    """NOTIFY of PostgreSQL, on a connection that is none of the project's."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._sending: Any = None

    def send(self, roots: Sequence[UUID]) -> None:
        if self._sending is None:
            self._sending = connect(self.using, "cq live")
        payload = json.dumps(message.build(roots))
        self._sending.execute(SEND_SQL, [message.CHANNEL, payload])

    def close(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.close()

    def hear(
        self, heard: Heard, wanted: Callable[[], set[str]], over: Callable[[], bool]
    ) -> None:
        with contextlib.closing(connect(self.using, "cq live")) as connection:
            if poolers.is_behind(connection.cursor()):
                raise ConnectionError("there is a pooler before the database")
            connection.execute(f'LISTEN "{message.CHANNEL}"')
            while not over():
                for notice in connection.notifies(timeout=POLL_SECONDS):
                    heard(message.loads(notice.payload))
                    if over():
                        break


class ByLayer:
    """The groups of a channel layer."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._loop: asyncio.AbstractEventLoop | None = None

    def send(self, roots: Sequence[UUID]) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._send(roots))

    async def _send(self, roots: Sequence[UUID]) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            for root in roots:
                group = message.group(root.hex)
                said = message.build([root])
                await layers.layer(self.alias).group_send(group, said)

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    def hear(
        self, heard: Heard, wanted: Callable[[], set[str]], over: Callable[[], bool]
    ) -> None:
        # A new loop each time: after an error some layers hear nothing on the old one.
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            loop.run_until_complete(self._hear(heard, wanted, over))

    async def _hear(
        self, heard: Heard, wanted: Callable[[], set[str]], over: Callable[[], bool]
    ) -> None:
        layer = layers.layer(self.alias)
        channel = await layer.new_channel()
        joined: set[str] = set()
        receiving = asyncio.ensure_future(layer.receive(channel))
        try:
            while not over():
                now = wanted()
                for task in now - joined:
                    await layer.group_add(message.group(task), channel)
                for task in joined - now:
                    await layer.group_discard(message.group(task), channel)
                joined = now
                await asyncio.wait([receiving], timeout=POLL_SECONDS)
                if receiving.done():
                    heard(message.parse(receiving.result()))
                    receiving = asyncio.ensure_future(layer.receive(channel))
        finally:
            receiving.cancel()
            for task in joined:
                with contextlib.suppress(Exception):
                    await layer.group_discard(message.group(task), channel)
            await asyncio.gather(receiving, return_exceptions=True)
