"""The doorbell through a channel layer of Channels that other processes reach."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from channels.exceptions import ChannelFull

from cq_channels.channel_layers import layers

from . import messages

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from cq.workers.doorbell import Ready

    from .protocol import Wake

logger = logging.getLogger("cq.doorbell")

#: Seconds that one message may take to be sent.
SEND_TIMEOUT_SECONDS = 5.0
#: Seconds between two looks at whether to stop.
STOP_POLL_SECONDS = 0.5
#: Seconds that the layer gets to finish what it does for the last message.
WIND_UP_SECONDS = 0.1
#: Seconds of waiting after which a time-out only says that nothing was sent.
IDLE_SECONDS = 1.0


class Layer:
    """The doorbell over the channel ``cq-tasks`` of a channel layer."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.name = f"channel layer {alias!r}"
        self._loop: asyncio.AbstractEventLoop | None = None

    def send(self, ready: Ready) -> None:
        if self._loop is None:
            self._loop = _new_loop()
        self._loop.run_until_complete(self._send(messages.build(ready)))

    async def _send(self, message: dict[str, Any]) -> None:
        # A full channel has messages in it that wake the worker all the same.
        with contextlib.suppress(ChannelFull):
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await layers.layer(self.alias).send(messages.CHANNEL, message)

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        # A new loop for each call: after an error some layers hear nothing on the old one.
        loop = _new_loop()
        try:
            loop.run_until_complete(self._listen(wake, stop))
        finally:
            _close_loop(loop)

    async def _listen(self, wake: Wake, stop: threading.Event) -> None:
        # The group ends all receivers with the first that fails.
        try:
            async with asyncio.TaskGroup() as group:
                for layer in layers.receivers(self.alias):
                    group.create_task(self._receive(layer, wake, stop))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _receive(self, layer: Any, wake: Wake, stop: threading.Event) -> None:
        while not stop.is_set():
            since = time.monotonic()
            # Waited for in steps, and not cancelled before the end: by that a layer may
            # lose the message that it is about to return, or its subscription.
            receiving = asyncio.ensure_future(layer.receive(messages.CHANNEL))
            while not receiving.done() and not stop.is_set():
                await asyncio.wait([receiving], timeout=STOP_POLL_SECONDS)
            if not receiving.done():
                receiving.cancel()
                return
            error = receiving.exception()
            if error is None:
                ready = messages.parse(receiving.result())
                if ready is None or ready:
                    wake(ready)
            elif not _was_idle(error, time.monotonic() - since):
                raise error

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            _close_loop(loop)


def _was_idle(error: BaseException, seconds: float) -> bool:
    # Known by its name: redis-py and valkey-py each have a TimeoutError of their own.
    return type(error).__name__ == "TimeoutError" and seconds > IDLE_SECONDS


class _OnThisThread(ThreadPoolExecutor):
    """The executor of our event loops: it runs what it is given at once, on this thread.

    They only look up hosts with it. The threads of a pool can't be used any more while
    the interpreter ends, and that is when a short script's last message is sent.
    """

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_OnThisThread())
    return loop


def _close_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_until_complete(_wind_up())
    finally:
        # The Redis layers have hooked into this: it closes their connections too.
        loop.close()


async def _wind_up() -> None:
    # The tasks are what the layer still does for the last message. If it cannot finish,
    # that message is delivered once more.
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=WIND_UP_SECONDS)
        for task in pending:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
