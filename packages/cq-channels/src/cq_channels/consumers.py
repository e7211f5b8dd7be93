"""Stock ``runworker cq-tasks``: a message starts the engine, and wakes it."""

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

from .engine import Engine
from .messages import parse

logger = logging.getLogger("cq.worker")

#: Seconds from one signal that ends runworker to the next.
AGAIN = 1.0


class TaskConsumer(AsyncConsumer):
    """Drives the engine of this process; it never runs a task itself.

    The engine starts with the first message: what was queued before waits for that.
    """

    async def cq_wake(self, message: dict[str, Any]) -> None:
        """Handle a doorbell; whatever it says, at most a look at the table follows."""
        # First: whoever finds the row of this worker may end it at once.
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
    # A daemon: it goes on until its process has ended.
    threading.Thread(target=_drain, daemon=True).start()


def _drain() -> None:
    try:
        with _engine_lock:  # it may be about to start
            engine = _engine
        if engine is not None:
            engine.stop()
    finally:
        if _loop is not None:
            _loop.call_soon_threadsafe(_heed_ctrl_c)
        # runworker ends, with exit code 0, on the signal of Ctrl-C only. By the first,
        # asyncio cancels what it runs, and a channel layer may swallow that; the next
        # one is raised.
        while True:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(AGAIN)
            if _loop is None or _loop.is_closed():
                break


def _heed_ctrl_c() -> None:
    # A shell that starts a program in the background has it ignore that signal.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
