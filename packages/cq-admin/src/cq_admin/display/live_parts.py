"""The parts of a page that keep themselves up to date: the server is asked for them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cq.live.socket import socket_address

if TYPE_CHECKING:
    from django.http import HttpRequest

    from cq.live.whole import Whole

#: The header by which a page asks for its parts, and their id in it.
HEADER, PARTS = "CQ-Part", "cq-parts"


class LivePage(NamedTuple):
    """What a page needs to keep itself up to date."""

    #: What it watches by its socket.
    watch: str
    #: Where a socket may be tried; "": nowhere.
    socket: str


def live_page(request: HttpRequest, whole: Whole) -> LivePage:
    """Return what this page needs."""
    return LivePage(whole.value, socket_address(request))


def wants_parts(request: HttpRequest) -> bool:
    """Tell whether a page that is open asks for what has changed in it."""
    return request.headers.get(HEADER) == PARTS
