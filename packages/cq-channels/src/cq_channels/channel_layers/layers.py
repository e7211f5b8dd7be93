"""The channel layer as cq uses it: also from a block that Channels itself refuses.

On Redis cq has an instance of its own, whose connections may be silent for as long as
they like, whatever the settings say of Channels' own.
"""

from __future__ import annotations

import logging
from typing import Any

from channels.layers import InMemoryChannelLayer, channel_layers
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from . import legacy

logger = logging.getLogger("cq.doorbell")


class LayerError(ImproperlyConfigured):
    """An error in the settings: the channel layer of this alias cannot be made."""


_layers: dict[str, Any] = {}
_complained: set[str] = set()


def configured(alias: str) -> bool:
    """Tell whether CHANNEL_LAYERS has this alias."""
    return alias in _blocks()


def layer(alias: str) -> Any:
    """Return the channel layer, always the same. Raises LayerError.

    It may be used on any number of event loops, as those of channels_redis may.
    """
    found = _layers.get(alias)
    if found is None:
        # Not under a lock, which a fork could leave locked: if two are made, one is kept.
        found = _layers.setdefault(alias, _make(alias))
    return found


def receivers(alias: str) -> list[Any]:
    """Return the layers to listen on, one for each host. Raises LayerError.

    A layer of channels_redis over several hosts sends to each in turn, but waits on
    one of them until something comes there.
    """
    whole = layer(alias)
    hosts = getattr(whole, "hosts", [])
    if len(hosts) < 2 or not is_core(type(whole)):
        return [whole]
    config = legacy.translate(_blocks()[alias])["CONFIG"]
    return [type(whole)(**{**config, "hosts": [host]}) for host in hosts]


def reaches_others(alias: str) -> bool:
    """Tell whether this layer is there, and carries messages to other processes."""
    if not configured(alias):
        return False
    try:
        return not issubclass(backend_class(alias), InMemoryChannelLayer)
    except LayerError as error:
        if alias not in _complained:
            _complained.add(alias)
            logger.warning("workers are woken without the channel layer: %s", error)
        return False


def backend_class(alias: str) -> type:
    """Return the class of this layer. Raises LayerError."""
    block = legacy.translate(_blocks()[alias])
    backend = block.get("BACKEND")
    if not isinstance(backend, str):
        raise LayerError(f"CHANNEL_LAYERS[{alias!r}] has no BACKEND")
    try:
        found = import_string(backend)
    except ImportError as error:
        raise LayerError(
            f"CHANNEL_LAYERS[{alias!r}]: cannot import {backend!r}: {error}"
        ) from error
    if not isinstance(found, type):
        raise LayerError(f"CHANNEL_LAYERS[{alias!r}]: {backend!r} is not a class")
    return found


def is_redis(backend: type) -> bool:
    """Tell whether this is a layer of channels_redis, or derived from one."""
    return any(c.__module__.startswith("channels_redis.") for c in backend.__mro__)


def is_core(backend: type) -> bool:
    """Tell whether this is the layer of channels_redis that keeps its messages."""
    return any(c.__module__ == "channels_redis.core" for c in backend.__mro__)


def _blocks() -> dict[str, Any]:
    blocks = getattr(settings, "CHANNEL_LAYERS", None)
    return blocks if isinstance(blocks, dict) else {}


def _make(alias: str) -> Any:
    if not configured(alias):
        raise LayerError(f"CHANNEL_LAYERS has no {alias!r}")
    backend = backend_class(alias)
    block = _blocks()[alias]
    try:
        if not is_redis(backend) and not legacy.is_legacy(block):
            # A layer in memory works within one instance only: Channels' own.
            return channel_layers[alias]
        config = dict(legacy.translate(block).get("CONFIG") or {})
        if is_redis(backend):
            config["hosts"] = legacy.patient_hosts(config.get("hosts"))
        return backend(**config)
    except Exception as error:
        # A layer's constructor may raise anything for a CONFIG that it doesn't like.
        raise LayerError(f"CHANNEL_LAYERS[{alias!r}]: {error!r}") from error


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "CHANNEL_LAYERS":
        _layers.clear()
        _complained.clear()


setting_changed.connect(_forget)
