"""The route for stock ``runworker cq-tasks``, to be put into a ChannelNameRouter."""

from __future__ import annotations

from typing import Any

from .consumers import TaskConsumer
from .messages import CHANNEL

channel_routing: dict[str, Any] = {CHANNEL: TaskConsumer.as_asgi()}
