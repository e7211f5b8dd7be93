"""The sender of a process: a thread that rings the workers.

So a commit costs next to nothing more. Rings that come while a message is being sent go
out together with the next. What cannot be sent is dropped: the workers look at the table
by themselves.
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
from cq.db.outage import ReconnectDelay
from cq.threads import start_thread
from cq_channels import doorbells

from .messages import MAX_IDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from cq.workers.doorbell import Ready

    from . import Transport

logger = logging.getLogger("cq.doorbell")

#: Seconds from one message to the next: at most 200 a second.
SECONDS_BETWEEN_MESSAGES = 0.005
#: Seconds of rest after which a ring counts as one of few.
RESTED_SECONDS = 0.02
#: Seconds for which the thread that rings after a rest gives way to the one that sends.
#: Else the latter would wait for the interpreter's lock, until the former waits for
#: something or has had it for 5 ms.
GIVE_WAY_SECONDS = 0.0001
#: Seconds without a ring after which connections are closed.
IDLE_SECONDS = 10.0
#: Seconds at most from a failed try to the next.
MAX_RETRY_SECONDS = 2.0
#: Seconds between two warnings that nothing could be sent.
SECONDS_BETWEEN_WARNINGS = 60.0
#: Seconds in which what is gathered has to be sent when the process ends.
EXIT_SECONDS = 0.5
#: Seconds that a script which ends at once has before those, for the import of the
#: channel layer's client: on a busy machine that alone takes longer.
IMPORT_SECONDS = 5.0


class Sender:
    """The sender of one process, whatever its threads, event loops and forks."""

    def __init__(self, choose: Callable[[str], Transport] = doorbells.choose) -> None:
        self._choose = choose
        self._thread: threading.Thread | None
        #: Transports of processes that this one was forked from.
        self._inherited: list[dict[str, Transport]] = []
        self._next_warning = 0.0
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
            room = MAX_IDS + 1 - len(gathered)
            gathered.update(islice(ready, max(room, 0)))
            if self._thread is None:
                self._start()
            elif self._resting:
                self._changed.notify()
                rested = time.monotonic() - self._resting_since > RESTED_SECONDS
        if rested:
            self._taken.wait(GIVE_WAY_SECONDS)

    def close(self, timeout: float | None = None) -> bool:
        """Send what is gathered and close everything; return whether it was in time.

        timeout: seconds; None: ``EXIT_SECONDS``. A later ring starts anew.
        """
        with self._changed:
            thread = self._thread
            if thread is None:
                return True
            self._closing = True
            self._changed.notify()
        if timeout is None:
            self._chosen.wait(IMPORT_SECONDS)
            timeout = EXIT_SECONDS
        thread.join(timeout)
        if thread.is_alive():
            # It hangs in a send, and ends by itself if that returns.
            return False
        with self._changed:
            self._thread, self._closing = None, False
            self._retry_after = 0.0
            self._delay.reset()
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
        #: Set once the rest is over, and what was gathered in it is being sent.
        self._taken = threading.Event()
        self._closing = False
        self._stale = False
        self._delay = ReconnectDelay(longest=MAX_RETRY_SECONDS)
        #: Seconds to wait before the next message, as the last has failed; 0: it has not.
        self._retry_after = 0.0

    def _before_fork(self) -> None:
        # To choose is to import. A child forked meanwhile would have half of a module,
        # and for good: no thread of it goes on importing.
        self._choosing.acquire()

    def _after_fork_here(self) -> None:
        self._choosing.release()

    def _after_fork(self) -> None:
        # Kept: to free them here would close connections that the parent still uses.
        self._inherited.append(self._transports)
        self._reset()

    def _start(self) -> None:
        self._thread = start_thread(self._work, "cq-sender", logger)

    # --- on the thread ----------------------------------------------------------------

    def _work(self) -> None:
        try:
            while batch := self._next():
                for using, ready in batch.items():
                    self._send(using, list(ready.items()))
                self._pause()
        except BaseException:
            # Not foreseen: the next ring starts another thread.
            with self._changed:
                self._thread = None
            raise
        finally:
            self._close_all()

    def _next(self) -> dict[str, dict[UUID, str]]:
        """Wait for rings and return them; nothing when it is time to end."""
        if not self._wait_for_work(idle_seconds()):
            self._close_all()
            self._wait_for_work(None)
        with self._changed:
            if self._closing and self._retry_after:
                # At the end of the process there is no time for another try.
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
            self._changed.wait_for(
                lambda: self._closing, self._retry_after or SECONDS_BETWEEN_MESSAGES
            )

    def _send(self, using: str, ready: Ready) -> None:
        # Twice: an idle connection may have been lost without a sign.
        for last in (False, True):
            try:
                self._transport(using).send(ready)
            except Exception as error:
                self._close(using)
                if last:
                    self._failed(error)
            else:
                self._succeeded()
                return

    def _transport(self, using: str) -> Transport:
        if self._stale:
            self._stale = False
            self._close_all()
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
        self._retry_after = self._delay.next()
        now = time.monotonic()
        level = logging.WARNING if now >= self._next_warning else logging.DEBUG
        if level == logging.WARNING:
            self._next_warning = now + SECONDS_BETWEEN_WARNINGS
        logger.log(
            level,
            "could not ring the workers, who look every %g s all the same: %s: %s",
            conf.POLL,
            type(error).__name__,
            error,
        )

    def _succeeded(self) -> None:
        if self._retry_after:
            self._retry_after = 0.0
            self._delay.reset()
            logger.info("the workers can be rung again")

    def _close_all(self) -> None:
        for using in list(self._transports):
            self._close(using)

    def _close(self, using: str) -> None:
        transport = self._transports.get(using)
        if transport is not None:
            with contextlib.suppress(Exception):
                transport.close()


def idle_seconds() -> float:
    """Return the seconds for which an idle connection is kept."""
    # With an outbox this is Django's test runner, which can't drop a database in use.
    return 0.0 if hasattr(mail, "outbox") else IDLE_SECONDS


def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("CHANNEL_LAYERS", "CQ_CHANNEL_LAYER", "DATABASES"):
        sender.forget()


sender = Sender()
setting_changed.connect(_settings_changed)
