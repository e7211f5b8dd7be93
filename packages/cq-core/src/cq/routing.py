"""``cq.routing.channel_routing``: the consumer's route, where cq-channels is there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    channel_routing: dict[str, Any]


def __getattr__(name: str) -> Any:
    if name != "channel_routing":
        raise AttributeError(f"module 'cq.routing' has no attribute {name!r}")
    try:
        return import_module("cq_channels.routing").channel_routing
    except ModuleNotFoundError as error:
        if error.name != "cq_channels":
            raise
        raise ImportError(
            "channel_routing is part of cq-channels, which is not installed: "
            "pip install cq-channels"
        ) from error
