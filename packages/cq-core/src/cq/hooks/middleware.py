"""The middleware of ``CQ_MIDDLEWARE``: found once, and put around each run."""

from __future__ import annotations

from typing import Any, NamedTuple

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from cq.conf import conf

from .layers import Layer


class Middleware(NamedTuple):
    """The layers around each run, the first outermost."""

    #: Outside of the transaction of an atomic task.
    outside: tuple[Layer, ...]
    #: Inside of it, by ``inside_transaction = True``.
    inside: tuple[Layer, ...]


#: None: there is none. Absent: not looked for yet.
_found: list[Middleware | None] = []


def middleware() -> Middleware | None:
    """Return what is around each run; None for nothing.

    Raises ImproperlyConfigured for a name that leads to no middleware.
    """
    if _found:
        return _found[0]
    layers = [_layer(str(path)) for path in conf.MIDDLEWARE]
    inside = tuple(one for one in layers if _wants_transaction(one))
    outside = tuple(one for one in layers if not _wants_transaction(one))
    found = Middleware(outside, inside) if layers else None
    _found[:] = [found]
    return found


def problem(path: Any) -> str | None:
    """Say why a name in ``CQ_MIDDLEWARE`` leads to no middleware; None: it does."""
    if not isinstance(path, str):
        return f"CQ_MIDDLEWARE has {path!r}, but must have dotted names."
    try:
        found = import_string(path)
    except Exception as error:
        return (
            f"CQ_MIDDLEWARE has {path!r}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        )
    if not callable(found) or isinstance(found, type):
        kind = "a class" if isinstance(found, type) else "not callable"
        return (
            f"CQ_MIDDLEWARE has {path!r}, which is {kind}; name a function "
            "(call_next, run), or an instance that can be called like one."
        )
    return None


def _layer(path: str) -> Layer:
    if wrong := problem(path):
        raise ImproperlyConfigured(wrong)
    found = import_string(path)
    is_async = iscoroutinefunction(found) or iscoroutinefunction(found.__call__)
    # As Django's `sync_and_async_middleware` marks its own.
    is_both = all(
        getattr(found, f"{kind}_capable", False) for kind in ("sync", "async")
    )
    return Layer(path, found, is_async, is_both and not is_async)


def _wants_transaction(layer: Layer) -> bool:
    return bool(getattr(layer.function, "inside_transaction", False))


def _forget(setting: str, **kwargs: Any) -> None:
    if setting == "CQ_MIDDLEWARE":
        _found.clear()


setting_changed.connect(_forget)
