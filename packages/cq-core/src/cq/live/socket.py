"""The address of the socket that tells a page what has changed, where there may be one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.core.handlers.asgi import ASGIRequest
from django.urls import get_script_prefix

if TYPE_CHECKING:
    from django.http import HttpRequest

#: Where cq-channels listens, from the beginning of the site.
SOCKET = "ws/cq/"


def socket_address(request: HttpRequest | None) -> str:
    """Return where the page of this request may try a socket; "": nowhere."""
    # Under WSGI none can be answered, and to try each time would fill the logs.
    if not isinstance(request, ASGIRequest) or not apps.is_installed("cq_channels"):
        return ""
    return f"{get_script_prefix()}{SOCKET}"
