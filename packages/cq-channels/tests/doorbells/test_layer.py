"""The doorbell over a channel layer, over layers that do as they are told."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from heard import Heard

from cq_channels.channel_layers import layers
from cq_channels.doorbells.layer import Layer


class Scripted:
    """A layer that gives, one by one, what is in its script."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.cancelled = 0

    async def receive(self, channel: str) -> Any:
        if not self.script:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


class Silent(Exception):
    pass


Silent.__name__ = "TimeoutError"
RING = {"type": "cq.wake", "v": 1, "ids": [], "q": []}


def listen(layer: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Heard, Any]:
    monkeypatch.setattr(layers, "layer", lambda alias: layer)
    heard, stop, ended = Heard(), threading.Event(), []

    def work() -> None:
        try:
            Layer("default").listen(heard, stop)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()

    def end() -> list[Exception]:
        stop.set()
        thread.join()
        return ended

    return heard, end


def test_the_time_out_of_an_idle_connection_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cq_channels.doorbells.layer.IDLE_SECONDS", -1.0)
    layer = Scripted(Silent(), Silent(), TimeoutError(), RING)
    heard, end = listen(layer, monkeypatch)
    heard.until_woken()
    assert end() == []
    # Once at most, to end it: the stop may come before it listens again.
    assert layer.cancelled <= 1


def test_a_time_out_at_once_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    error = Silent()
    monkeypatch.setattr("cq_channels.doorbells.layer.IDLE_SECONDS", 1e6)
    layer = Scripted(error)
    monkeypatch.setattr(layers, "layer", lambda alias: layer)
    with pytest.raises(Silent):
        Layer("default").listen(Heard(), threading.Event())


def test_a_slow_receive_is_not_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cq_channels.doorbells.layer.STOP_POLL_SECONDS", 0.001)

    class Slow(Scripted):
        async def receive(self, channel: str) -> Any:
            try:
                for _ in range(30):
                    await asyncio.sleep(0.002)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return RING

    layer = Slow()
    heard, end = listen(layer, monkeypatch)
    heard.until(lambda wakes: len(wakes) >= 3)
    assert end() == []
    assert layer.cancelled <= 1
