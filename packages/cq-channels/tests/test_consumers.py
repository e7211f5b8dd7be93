"""The engine inside ``runworker``, started by its first message."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from cq_channels import consumers

if TYPE_CHECKING:
    import pytest

#: How SIGTERM was handled when an engine started.
handlers: list[Any] = []


class Starting:
    """In place of the engine."""

    def __init__(self, using: str, on_broken: Any) -> None:
        pass

    def start(self) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))

    def wake(self, message: Any) -> None:
        pass


async def test_row_22_sigterm_is_handled_before_the_worker_can_be_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumers, "Engine", Starting)
    monkeypatch.setattr(consumers, "_engine", None)
    monkeypatch.setattr(consumers, "_loop", None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        await consumers.TaskConsumer().cq_wake({"type": "cq.wake"})
        [handler] = handlers
        assert handler not in (before, signal.SIG_DFL)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
