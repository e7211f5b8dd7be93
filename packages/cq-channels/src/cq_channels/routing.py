"""The routes: of stock ``runworker cq-tasks``, and of sockets that watch tasks."""

from __future__ import annotations

from typing import Any

from cq_channels.doorbells.messages import CHANNEL

from .consumers import TaskConsumer
from .live.routes import websocket_urlpatterns

__all__ = ["channel_routing", "websocket_urlpatterns"]

#: To be put into a ChannelNameRouter.
channel_routing: dict[str, Any] = {CHANNEL: TaskConsumer.as_asgi()}
