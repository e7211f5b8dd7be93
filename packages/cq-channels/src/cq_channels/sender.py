"""Rings the workers from a thread of its own: whoever commits pays next to nothing.

Rings that come while one is being sent go out together with the next. What cannot be
sent is dropped: the workers look at the table by themselves.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.core import mail
from django.core.signals import setting_changed

from cq.conf import conf

from . import doorbells
from .messages import MOST_IDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from cq.doorbell import Ready

    from .doorbells import Transport

logger = logging.getLogger("cq.doorbell")

#: Seconds from one message to the next: at most 200 a second.
PAUSE = 0.005
#: Seconds of rest from which on a ring is one of few: whoever rings then gives way to
#: the thread that sends. It would wait for the interpreter's lock otherwise, until the
#: other waits for something or has had it for 5 ms.
RESTED, GIVE_WAY = 0.02, 0.0001
#: Seconds without a ring after which connections are given back.
LINGER = 10.0
#: Seconds to the next try after a failed one; it doubles up to the second.
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0
#: Seconds between two warnings that nothing could be sent.
WARN_EVERY = 60.0
#: Seconds that what is gathered may take to be sent when the process ends.
AT_EXIT = 0.5
#: Seconds that a script which ends at once has before those, for the imports of the
#: channel layer's client: on a busy machine they alone are longer than ``AT_EXIT``.
IMPORTS = 5.0


class Sender:
    """The doorbell of one process, whatever its threads, event loops and forks."""

    def __init__(self, choose: Callable[[str], Transport] = doorbells.choose) -> None:
        self._choose = choose
        self._thread: threading.Thread | None
        #: Transports of processes that this one was forked from.
        self._inherited: list[dict[str, Transport]] = []
        self._warn_at = 0.0
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork_here,
                after_in_child=self._after_fork,
            )
        atexit.register(self.close)

    def ring(self, using: str, ready: Ready) -> None:
        """Have the workers told of these tasks. Takes microseconds, never raises.

        After a rest it gives way for a moment to the thread that sends.
        """
        if conf.SERIAL or conf.RUN_INLINE:
            return
        rested = False
        with self._changed:
            gathered = self._gathered.setdefault(using, {})
            # One more than a message holds: then it says to look at the table.
            room = MOST_IDS + 1 - len(gathered)
            gathered.update(islice(ready, max(room, 0)))
            if self._thread is None:
                self._start()
            elif self._resting:
                self._changed.notify()
                rested = time.monotonic() - self._resting_since > RESTED
        if rested:
            self._taken.wait(GIVE_WAY)

    def close(self, timeout: float | None = None) -> bool:
        """Send what is gathered and give everything back; whether it was done in time.

        timeout: seconds; None: ``AT_EXIT``. A later ring starts anew.
        """
        with self._changed:
            thread = self._thread
            if thread is None:
                return True
            self._closing = True
            self._changed.notify()
        if timeout is None:
            self._chosen.wait(IMPORTS)
            timeout = AT_EXIT
        thread.join(timeout)
        if thread.is_alive():
            # Stuck in a send. It ends by itself if that returns.
            return False
        with self._changed:
            self._thread, self._closing, self._delay = None, False, 0.0
        return True

    def forget(self) -> None:
        """Choose the way to ring anew, for the settings have changed."""
        self._stale = True

    # --- starting ---------------------------------------------------------------------

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._choosing = threading.Lock()
        self._gathered: dict[str, dict[UUID, str]] = {}
        self._thread = None
        self._transports: dict[str, Transport] = {}
        #: Set once the first transport is there, or cannot be had.
        self._chosen = threading.Event()
        self._resting = False
        self._resting_since = 0.0
        #: Set once what was gathered in the rest is on its way.
        self._taken = threading.Event()
        self._closing = False
        self._stale = False
        self._delay = 0.0

    def _before_fork(self) -> None:
        # A choice imports. A child that was forked in between would have half of the
        # module, and for good: nobody there goes on importing it.
        self._choosing.acquire()

    def _after_fork_here(self) -> None:
        self._choosing.release()

    def _after_fork(self) -> None:
        # Kept, for to free them here would close what the parent still uses.
        self._inherited.append(self._transports)
        self._reset()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="cq-sender", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter ends, or has no threads left.
            logger.debug("no thread to ring the workers", exc_info=True)
        else:
            self._thread = thread

    # --- on the thread ----------------------------------------------------------------

    def _work(self) -> None:
        try:
            while batch := self._next():
                for using, ready in batch.items():
                    self._send(using, list(ready.items()))
                self._pause()
        finally:
            self._give_back()

    def _next(self) -> dict[str, dict[UUID, str]]:
        """Wait for rings and return them; nothing when it is time to end."""
        if not self._wait_for_work(linger()):
            self._give_back()
            self._wait_for_work(None)
        with self._changed:
            if self._closing and self._delay:
                # At the end there is no time for another try.
                self._gathered = {}
            batch, self._gathered = self._gathered, {}
        return batch

    def _wait_for_work(self, seconds: float | None) -> bool:
        with self._changed:
            self._resting, self._resting_since = True, time.monotonic()
            self._taken.clear()
            found = self._changed.wait_for(
                lambda: bool(self._gathered) or self._closing, seconds
            )
            self._resting = False
            self._taken.set()
        return found

    def _pause(self) -> None:
        """Let rings gather; after an error for longer."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, self._delay or PAUSE)

    def _send(self, using: str, ready: Ready) -> None:
        # Twice, for a connection that was idle may have gone without a word.
        for last in (False, True):
            try:
                self._transport(using).send(ready)
            except Exception as error:
                self._close_one(using)
                if last:
                    self._failed(error)
            else:
                self._succeeded()
                return

    def _transport(self, using: str) -> Transport:
        if self._stale:
            self._stale = False
            self._give_back()
            self._transports.clear()
        transport = self._transports.get(using)
        if transport is None:
            try:
                with self._choosing:
                    transport = self._transports[using] = self._choose(using)
            finally:
                self._chosen.set()
        return transport

    def _failed(self, error: Exception) -> None:
        self._delay = min(self._delay * 2 or FIRST_DELAY, LONGEST_DELAY)
        now = time.monotonic()
        level = logging.WARNING if now >= self._warn_at else logging.DEBUG
        if level == logging.WARNING:
            self._warn_at = now + WARN_EVERY
        logger.log(
            level,
            "could not ring the workers, who look every %g s all the same: %s: %s",
            conf.POLL,
            type(error).__name__,
            error,
        )

    def _succeeded(self) -> None:
        if self._delay:
            self._delay = 0.0
            logger.info("the workers can be rung again")

    def _give_back(self) -> None:
        for using in list(self._transports):
            self._close_one(using)

    def _close_one(self, using: str) -> None:
        transport = self._transports.get(using)
        if transport is not None:
            with contextlib.suppress(Exception):
                transport.close()


def linger() -> float:
    """Return the seconds for which an idle connection is kept."""
    # Django's test runner keeps an outbox, and can't drop a database in use.
    return 0.0 if hasattr(mail, "outbox") else LINGER


def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("CHANNEL_LAYERS", "CQ_CHANNEL_LAYER", "DATABASES"):
        sender.forget()


sender = Sender()
setting_changed.connect(_settings_changed)
