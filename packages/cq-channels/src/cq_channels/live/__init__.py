"""Tasks as they are now, over a WebSocket: the consumer, and a ready-made application.

``application`` is for asgi.py and is made when it is first asked for, after Django is set
up: with the session, the check of the origin, and the route.
"""

from __future__ import annotations

from typing import Any

from .consumer import LiveConsumer

__all__ = ["LiveConsumer", "application"]


def __getattr__(name: str) -> Any:
    if name != "application":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .ready_made import make_application

    globals()[name] = made = make_application()
    return made
