"""The system checks of cq-channels: of its doorbells, a worker beside the site, its server."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.version import get_version_tuple

from cq.conf import conf, problem

from . import doorbells
from .channel_layers import layers, legacy

#: Seconds that channels_redis has the server wait for a message.
RECEIVE_SECONDS = 5
#: The first daphne that bounds what it takes by WebSocket.
DAPHNE_WITH_LIMITS = (4, 2, 2)


@register("cq")
def check_alias(**kwargs: Any) -> list[CheckMessage]:
    """cq_channels.E001: no such channel layer. E002: it can't be made."""
    alias = conf.CHANNEL_LAYER
    if problem("CHANNEL_LAYER", alias):
        return []
    if not layers.configured(alias):
        if alias == "default":
            return []
        return [
            Error(
                f"CQ_CHANNEL_LAYER is {alias!r}, which is not in CHANNEL_LAYERS.",
                hint=f"Add it there, or name one of these: {_aliases()}.",
                id="cq_channels.E001",
            )
        ]
    try:
        layers.layer(alias)
    except layers.LayerError as error:
        return [
            Error(
                f"The channel layer of cq cannot be made. {error}",
                hint='For one on Redis: pip install "cq-channels[redis]".',
                id="cq_channels.E002",
            )
        ]
    return []


@register("cq")
def check_legacy(**kwargs: Any) -> list[CheckMessage]:
    """cq_channels.W001: the block is one that only cq still understands."""
    alias = conf.CHANNEL_LAYER
    if problem("CHANNEL_LAYER", alias) or not layers.configured(alias):
        return []
    block = settings.CHANNEL_LAYERS[alias]
    if not legacy.is_legacy(block):
        return []
    return [
        Warning(
            f"CHANNEL_LAYERS[{alias!r}] is written for Channels 1. cq translates it for "
            "itself; Channels, and so runworker, refuses it.",
            hint=_write_instead(alias, legacy.translate(block)),
            id="cq_channels.W001",
        )
    ]


@register("cq")
def check_socket_timeout(**kwargs: Any) -> list[CheckMessage]:
    """cq_channels.W002: redis-py would give up on a connection that waits."""
    if not _redis_gives_up():
        return []
    found: list[CheckMessage] = []
    for alias, block in (getattr(settings, "CHANNEL_LAYERS", None) or {}).items():
        if legacy.is_legacy(block) or not _is_core(alias):
            continue
        config = block.get("CONFIG") or {}
        hosts = legacy.patient_hosts(config.get("hosts"))
        given = config.get("hosts") or [{}]
        if not isinstance(hosts, list) or all(_waits(host) for host in given):
            continue
        for host in hosts:
            host["socket_timeout"] = None
        patient = {**block, "CONFIG": {**config, "hosts": hosts}}
        found.append(
            Warning(
                f"CHANNEL_LAYERS[{alias!r}]: redis-py 8 and later give up on a connection "
                "that is silent for 5 s, and so end consumers and runworker. cqworker "
                "is not concerned.",
                hint=_write_instead(alias, patient),
                id="cq_channels.W002",
            )
        )
    return found


@register("cq")
def check_reach(**kwargs: Any) -> list[CheckMessage]:
    """cq_channels.W003: nothing wakes the workers; they look every ``CQ_POLL``."""
    if problem("CHANNEL_LAYER", conf.CHANNEL_LAYER) or problem("POLL", conf.POLL):
        return []
    if problem("DATABASE", conf.DATABASE) or conf.DATABASE not in settings.DATABASES:
        return []
    if not isinstance(doorbells.choose(conf.DATABASE), doorbells.NoDoorbell):
        return []
    return [
        Warning(
            f"Nothing wakes the workers: no channel layer {conf.CHANNEL_LAYER!r} reaches "
            f"other processes, and the database {conf.DATABASE!r} has no notifications.",
            hint=(
                f"Tasks start up to {conf.POLL:g} s late. Configure a layer of "
                "channels_redis in CHANNEL_LAYERS, or lower CQ_POLL."
            ),
            id="cq_channels.W003",
        )
    ]


@register("cq", deploy=True)
def check_embedded(**kwargs: Any) -> list[CheckMessage]:
    """cq_channels.W004: each host of the site runs a worker beside its server."""
    if conf.EMBEDDED is not True or settings.DEBUG:
        return []
    return [
        Warning(
            "CQ_EMBEDDED is True: each host whose application is wrapped in with_worker "
            "runs a worker beside its server.",
            hint="Right for one small machine. Else leave the setting out, and run "
            "manage.py cqworker as a service; silence this with SILENCED_SYSTEM_CHECKS.",
            id="cq_channels.W004",
        )
    ]


@register("cq", deploy=True)
def check_daphne(**kwargs: Any) -> list[CheckMessage]:
    """cq_channels.W005: whoever reaches the site fills the memory of its daphne."""
    version = _version("daphne")
    if version is None or get_version_tuple(version) >= DAPHNE_WITH_LIMITS:
        return []
    return [
        Warning(
            f"daphne is {version}. Before 4.2.2 it takes messages of any size by WebSocket, "
            "from whoever reaches the site (CVE-2026-44545), and headers that are smuggled "
            "in (CVE-2026-44546).",
            hint='pip install "daphne>=4.2.2". Where another server answers the site, '
            "uninstall it, or silence this with SILENCED_SYSTEM_CHECKS.",
            id="cq_channels.W005",
        )
    ]


def _aliases() -> str:
    return ", ".join(getattr(settings, "CHANNEL_LAYERS", None) or {}) or "none"


def _write_instead(alias: str, block: Mapping[str, Any]) -> str:
    written = legacy.lines(alias, block)
    note = f" ({legacy.REDACTED}: as it is now)" if legacy.REDACTED in written else ""
    return f"Write instead{note}:\n{written}"


def _redis_gives_up() -> bool:
    version = _version("redis")
    return version is not None and get_version_tuple(version)[0] >= 8


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_core(alias: str) -> bool:
    # The layer over Pub/Sub never waits for long.
    try:
        backend = layers.backend_class(alias)
    except layers.LayerError:
        return False
    return layers.is_core(backend)


def _waits(host: Any) -> bool:
    """Tell whether redis-py waits on this host for longer than the layer does."""
    given = dict(host) if isinstance(host, Mapping) else {"address": host}
    address = given.get("address")
    if isinstance(address, str):
        query = parse_qs(urlsplit(address).query)
        if "socket_timeout" in query:
            given["socket_timeout"] = query["socket_timeout"][0]
    timeout = given.get("socket_timeout", RECEIVE_SECONDS)
    try:
        return timeout is None or float(timeout) > RECEIVE_SECONDS
    except ValueError:
        return False
