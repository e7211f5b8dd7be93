"""The origin of a socket: whether the page that opened it is of this very site.

A browser sends the cookies of a site along whoever opens the socket. The validator of
Channels knows the hosts that a site may have, and lets all in where that is ``*``; this
asks what Django asks of a POST.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils.http import is_same_domain

_PORTS = {"http": 80, "https": 443}


def is_own(scope: Any) -> bool:
    """Tell whether the origin is this site, or one that it trusts with its forms.

    What sends none is no browser, and has no cookies but its own.
    """
    origins = _headers(scope, b"origin")
    if not origins:
        return True
    origin = _split(origins[0])
    if len(origins) > 1 or origin is None:
        return False
    forwarded = settings.USE_X_FORWARDED_HOST and _headers(scope, b"x-forwarded-host")
    hosts = forwarded or _headers(scope, b"host")
    if not hosts:
        return True  # no browser either
    return _is_host(origin, hosts[0]) or _is_trusted(origin)


def _headers(scope: Any, name: bytes) -> list[str]:
    return [v.decode("latin1") for k, v in scope.get("headers", ()) if k == name]


def _split(text: str) -> SplitResult | None:
    try:
        origin = urlsplit(text)
        _ = origin.port
    except ValueError:
        return None
    return origin if origin.scheme in _PORTS and origin.hostname else None


def _is_host(origin: SplitResult, host: str) -> bool:
    own = _split(f"{origin.scheme}://{host.strip()}")
    if own is None or own.hostname != origin.hostname:
        return False
    default = _PORTS[origin.scheme]
    return (own.port or default) == (origin.port or default)


def _is_trusted(origin: SplitResult) -> bool:
    for text in settings.CSRF_TRUSTED_ORIGINS:
        trusted = urlsplit(text)
        if trusted.scheme != origin.scheme:
            continue
        if trusted.netloc == origin.netloc:
            return True
        pattern = trusted.netloc.removeprefix("*")
        if pattern != trusted.netloc and is_same_domain(origin.netloc, pattern):
            return True
    return False
