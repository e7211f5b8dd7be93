"""The consumer of stock ``runworker cq-tasks``: a message starts the engine."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from typing import Any

from asgiref.sync import sync_to_async
from channels.consumer import AsyncConsumer

from cq.conf import conf
from cq.db.connections import leave_pools
from cq_channels.doorbells.messages import parse
from cq_channels.worker.engine import Engine

logger = logging.getLogger("cq.worker")

#: Seconds from one signal that ends runworker to the next.
SECONDS_BETWEEN_SIGNALS = 1.0


class TaskConsumer(AsyncConsumer):
    """The consumer of doorbell messages, which wakes the engine of this process.

    The engine, which runs the tasks, starts with the first message: what was queued
    before waits for that.
    """

    async def cq_wake(self, message: dict[str, Any]) -> None:
        """Handle a doorbell; whatever it says, at most a look at the table follows."""
        # First of all: once the worker has a row, somebody may end it by that.
        _drain_on_sigterm()
        engine = await sync_to_async(_engine_of_this_process)()
        engine.wake(parse(message))


_engine: Engine | None = None
_engine_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _engine_of_this_process() -> Engine:
    global _engine
    with _engine_lock:
        if _engine is None:
            leave_pools()
            engine = Engine(conf.DATABASE, on_broken=_end)
            engine.start()
            _engine = engine
        return _engine


def _drain_on_sigterm() -> None:
    """Have SIGTERM drain the engine: runworker itself has no handler for it."""
    global _loop
    if _loop or threading.current_thread() is not threading.main_thread():
        return
    _loop = asyncio.get_running_loop()
    _loop.add_signal_handler(signal.SIGTERM, _end)


def _end() -> None:
    # A daemon thread: it goes on until the process has ended.
    threading.Thread(target=_drain, daemon=True).start()


def _drain() -> None:
    try:
        with _engine_lock:  # The engine may be about to start.
            engine = _engine
        if engine is not None:
            engine.stop()
    finally:
        if _loop is not None:
            _loop.call_soon_threadsafe(_heed_ctrl_c)
        # runworker ends, with exit code 0, on the signal of Ctrl-C only. At the first one
        # asyncio cancels what it runs, which a channel layer may swallow; the next one
        # raises KeyboardInterrupt.
        while True:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(SECONDS_BETWEEN_SIGNALS)
            if _loop is None or _loop.is_closed():
                break


def _heed_ctrl_c() -> None:
    # A program that a shell has started in the background ignores that signal.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
