"""The blocks of CHANNEL_LAYERS from before Channels 2, as blocks of channels_redis.

``asgi_redis`` became ``channels_redis`` in 2018, and cannot be installed beside
Channels 4. Most of its CONFIG is understood unchanged by its successor.
"""

from __future__ import annotations

import pprint
import re
from collections.abc import Mapping
from typing import Any

CORE = "channels_redis.core.RedisChannelLayer"
IN_MEMORY = "channels.layers.InMemoryChannelLayer"

_SENTINEL = "asgi_redis.RedisSentinelChannelLayer"
_BACKENDS = {
    "asgi_redis.RedisChannelLayer": CORE,
    "asgi_redis.core.RedisChannelLayer": CORE,
    "asgi_redis.RedisLocalChannelLayer": CORE,
    _SENTINEL: CORE,
    "asgi_redis.sentinel.RedisSentinelChannelLayer": CORE,
    "asgiref.inmemory.ChannelLayer": IN_MEMORY,
}
#: Options that channels_redis has by the names of asgi_redis.
_KEPT = (
    "prefix",
    "expiry",
    "group_expiry",
    "capacity",
    "channel_capacity",
    "symmetric_encryption_keys",
)

#: Keys of what opens a connection, and whose value nobody is shown.
_SECRET_KEY = re.compile("pass|pwd|secret|token|credential|encryption_key|user", re.I)
REDACTED = "***"


def is_legacy(block: Mapping[str, Any]) -> bool:
    """Tell whether Channels would refuse this block of CHANNEL_LAYERS for its age."""
    return "ROUTING" in block or block.get("BACKEND") in _BACKENDS


def translate(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block that means the same today; one of today unchanged."""
    if not is_legacy(block):
        return dict(block)
    modern = {key: value for key, value in block.items() if key != "ROUTING"}
    backend = block.get("BACKEND")
    if backend not in _BACKENDS:
        return modern
    modern["BACKEND"] = _BACKENDS[backend]
    config = block.get("CONFIG") or {}
    modern["CONFIG"] = {key: config[key] for key in _KEPT if key in config}
    if modern["BACKEND"] == CORE:
        modern["CONFIG"]["hosts"] = _hosts(backend, config)
    return modern


def patient_hosts(hosts: Any, arguments: Mapping[str, Any] | None = None) -> Any:
    """Return the `hosts` of channels_redis, made to wait for the next message.

    redis-py 8 gives up on a socket that is silent for 5 s, and a worker with nothing to
    do is silent. `arguments`: more of what redis-py's connections take.
    """
    if hosts is not None and not isinstance(hosts, (list, tuple)):
        # channels_redis does not take it, and says so itself.
        return hosts
    given = hosts or ["redis://localhost:6379"]
    return [
        {"socket_timeout": None, **(arguments or {}), **_host(host)} for host in given
    ]


def lines(alias: str, block: Mapping[str, Any]) -> str:
    """Return the lines of settings.py that say what `block` says, passwords left out."""
    return f"CHANNEL_LAYERS = {pprint.pformat({alias: _redacted(block)}, sort_dicts=False)}"


def _host(host: Any) -> dict[str, Any]:
    if isinstance(host, Mapping):
        return dict(host)
    if isinstance(host, (list, tuple)):
        return {"host": host[0], "port": host[1]}
    return {"address": host}


def _hosts(backend: str, config: Mapping[str, Any]) -> Any:
    hosts = config.get("hosts")
    arguments = config.get("connection_kwargs")
    services = config.get("services")
    if "Sentinel" in backend and hosts and services:
        sentinels = [tuple(host) for host in hosts]
        hosts = [{"sentinels": sentinels, "master_name": name} for name in services]
    return patient_hosts(hosts, arguments)


def _redacted(value: Any, key: str = "") -> Any:
    if value and _SECRET_KEY.search(key):
        return [REDACTED] if isinstance(value, (list, tuple)) else REDACTED
    if isinstance(value, Mapping):
        return {k: _redacted(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_redacted(item) for item in value)
    if isinstance(value, str) and ("@" in value or "?" in value):
        # Whoever logs in there, or a query. A password may have any sign in it, so
        # nothing behind the scheme is told apart.
        return f"{value.partition('://')[0]}://{REDACTED}"
    return value
