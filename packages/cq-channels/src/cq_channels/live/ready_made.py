"""The ready-made application: session, origin and route around the consumer."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator, WebsocketDenier
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import re_path

from .routes import websocket_urlpatterns

#: What Django takes for allowed where nothing is said and DEBUG is on.
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


class HostsValidator(OriginValidator):
    """The validator of Channels for ``ALLOWED_HOSTS``, as that is when a socket comes."""

    def __init__(self, application: Any) -> None:
        self.application = application

    @property
    def allowed_origins(self) -> Any:  # type: ignore[override]
        return settings.ALLOWED_HOSTS or (_LOCAL if settings.DEBUG else ())


def make_application() -> Any:
    """Return an application for WebSockets, which passes HTTP on to Django."""
    http = get_asgi_application()
    # Another address is refused; the router alone would raise.
    nowhere: Any = WebsocketDenier.as_asgi()
    routes = [*websocket_urlpatterns, re_path("", nowhere)]
    socket = HostsValidator(AuthMiddlewareStack(URLRouter(routes)))
    return ProtocolTypeRouter({"http": http, "websocket": socket})
