"""The address of the consumer."""

from __future__ import annotations

from typing import Any

from django.urls import path

from .consumer import LiveConsumer

# For a checker of types a route leads to a view.
_consumer: Any = LiveConsumer.as_asgi()
websocket_urlpatterns: list[Any] = [path("ws/cq/", _consumer)]
