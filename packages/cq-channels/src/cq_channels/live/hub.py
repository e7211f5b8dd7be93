"""What the sockets of this process watch, tasks and the whole: each is read once for all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async

from cq.conf import conf
from cq.db import outage
from cq.live.state import Reading, read
from cq.live.whole import Whole, WholeReading, read_whole

from . import ears
from .renewal import Renewal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from uuid import UUID

    from .sight import Sight

    Subject = UUID | Whole

logger = logging.getLogger("cq.live")

#: Seconds from one look at a task to the next, where nobody has rung; and once it is done.
LOOK_SECONDS, SELDOM_SECONDS = 2.0, 10.0
#: Seconds for which what was read is good for everybody here.
SHARED_SECONDS = 1.0


class Shared:
    """A reading that many sockets are told of, and what was read for each kind of them."""

    def __init__(self, reading: Reading | WholeReading) -> None:
        self.reading = reading
        self.moment = time.monotonic()
        self._states: dict[Hashable, asyncio.Future[dict[str, Any]]] = {}

    async def state(self, sight: Sight, after: int | None) -> dict[str, Any]:
        """Return what those see who have this sight and know the lines up to `after`."""
        key = sight.key, after
        if key not in self._states:
            asking = database_sync_to_async(sight.state)(self.reading, after)
            self._states[key] = asyncio.ensure_future(asking)
            # Of an error somebody is told, or nobody wants to know any more.
            self._states[key].add_done_callback(_seen)
        # Who leaves meanwhile does not take it from the others.
        return await asyncio.shield(self._states[key])


def _seen(asked: asyncio.Future[Any]) -> None:
    if not asked.cancelled():
        asked.exception()


class Watch(Protocol):
    """Somebody who watches something, and is told of each reading unless they pause."""

    paused: bool

    def tell(self, shared: Shared | None) -> None:
        """Take what was read; None: the task is not there any more."""


class Watched:
    """A task or the whole, and who watches it."""

    def __init__(self, subject: Subject, renewal: Renewal) -> None:
        self.subject = subject
        self._renewal = renewal
        #: Ends what is heard of its tree; None: nothing is, or it was not read yet.
        self._deafen: Callable[[], None] | None = None
        self.watches: set[Watch] = set()
        self._shared: Shared | None = None
        self._reading = asyncio.Lock()
        self._rung = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def join(self, watch: Watch) -> None:
        self.watches.add(watch)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())

    def leave(self, watch: Watch) -> None:
        self.watches.discard(watch)
        if not self.watches and self._looking is not None:
            self._looking.cancel()
            self._looking = None
            if self._deafen is not None:
                self._deafen()

    def ring(self) -> None:
        """Look soon: somebody says that it has changed."""
        self._rung.set()

    async def now(self) -> Shared | None:
        """Return it as it was within the last second; None where it is gone."""
        async with self._reading:
            shared = self._shared
            if shared and time.monotonic() - shared.moment < SHARED_SECONDS:
                return shared
            reading = await database_sync_to_async(_read)(self.subject)
            self._shared = None if reading is None else Shared(reading)
            if reading is not None and self._deafen is None and self.watches:
                self._deafen = self._listen(reading.root)
            return self._shared

    def _listen(self, root: UUID) -> Callable[[], None]:
        """Have it rung for by who runs it, where there is a way."""
        loop = asyncio.get_running_loop()
        leave = ears.listen(conf.DATABASE, root, loop, self.ring)
        if leave is None:
            return lambda: None
        self._renewal.add(root)

        def deafen() -> None:
            self._renewal.discard(root)
            leave()

        return deafen

    async def _look(self) -> None:
        while True:
            await self._wait()
            awake = [watch for watch in self.watches if not watch.paused]
            if not awake:
                continue
            try:
                shared = await self.now()
            except Exception as error:
                # The next look may find the database again; nobody is sent away.
                outage.log(logger, error, "what is watched could not be read")
                continue
            outage.ended(logger)
            for watch in awake:
                watch.tell(shared)

    async def _wait(self) -> None:
        done = self._shared is not None and not self._shared.reading.is_open
        try:
            async with asyncio.timeout(SELDOM_SECONDS if done else LOOK_SECONDS):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()
        if self._shared is not None:
            # What was read before the ring is not good for it.
            age = time.monotonic() - self._shared.moment
            await asyncio.sleep(max(0.0, SHARED_SECONDS - age))


def _read(subject: Subject) -> Reading | WholeReading | None:
    if isinstance(subject, Whole):
        return read_whole(conf.DATABASE, subject)
    return read(conf.DATABASE, subject)


class Hub:
    """What is watched on one event loop."""

    def __init__(self) -> None:
        self._watched: dict[Subject, Watched] = {}
        self._asked: dict[Hashable, asyncio.Future[Any]] = {}
        self._renewal = Renewal()

    def watched(self) -> list[Subject]:
        return list(self._watched)

    def join(self, subject: Subject, watch: Watch) -> Watched:
        """Have a watch told of a task, or of the whole, until it leaves."""
        found = self._watched.get(subject)
        if found is None:
            found = self._watched[subject] = Watched(subject, self._renewal)
        found.join(watch)
        return found

    async def once(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        """Return what `ask` finds on a thread, once for all who want it within a second."""
        asked = self._asked.get(key)
        if asked is None:
            asked = asyncio.ensure_future(database_sync_to_async(ask)())
            asked.add_done_callback(_seen)
            self._asked[key] = asked
            loop = asyncio.get_running_loop()
            loop.call_later(SHARED_SECONDS, self._asked.pop, key, None)
        # Who leaves meanwhile does not take it from the others.
        return await asyncio.shield(asked)

    def leave(self, subject: Subject, watch: Watch) -> None:
        found = self._watched.get(subject)
        if found is not None:
            found.leave(watch)
            if not found.watches:
                del self._watched[subject]


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """Return the one of the running loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
