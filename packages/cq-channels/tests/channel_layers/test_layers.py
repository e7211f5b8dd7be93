"""The layer that cq makes, from blocks old and new."""

from __future__ import annotations

from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from cq_channels import doorbells
from cq_channels.channel_layers import layers, legacy
from cq_channels.doorbells.layer import Layer

OLD = "asgi_redis.RedisChannelLayer"
URL = "redis://localhost:6379/1"


def block(backend: str, **config: Any) -> dict[str, Any]:
    return {"BACKEND": backend, "CONFIG": config}


def test_the_first_readme_is_understood(settings: Any) -> None:
    settings.CQ_CHANNEL_LAYER = "long"
    settings.CHANNEL_LAYERS = {
        "default": block("channels.layers.InMemoryChannelLayer"),
        "long": {
            **block(OLD, hosts=[URL], expiry=1800, channel_capacity={"cq-tasks": 1000}),
            "ROUTING": "app.routing.channel_routing",
        },
    }
    layer = layers.layer("long")
    assert type(layer) is RedisChannelLayer
    assert layer.expiry == 1800
    assert layer.get_capacity("cq-tasks") == 1000
    assert layer.hosts == [{"socket_timeout": None, "address": URL}]
    assert layers.layer("long") is layer
    assert type(doorbells.choose("default")) is Layer


KEYS = {
    "prefix": "p:",
    "expiry": 5,
    "group_expiry": 6,
    "capacity": 7,
    "channel_capacity": {"x*": 8},
    "symmetric_encryption_keys": ["k"],
}


@pytest.mark.parametrize(
    ("config", "translated"),
    [
        # Nothing: both had localhost for a default.
        (
            {},
            {"hosts": [{"socket_timeout": None, "address": "redis://localhost:6379"}]},
        ),
        # As they were.
        (
            {"hosts": [URL], **KEYS},
            {"hosts": [{"socket_timeout": None, "address": URL}], **KEYS},
        ),
        # A pair of host and port.
        (
            {"hosts": [("h", 1)]},
            {"hosts": [{"socket_timeout": None, "host": "h", "port": 1}]},
        ),
        # Arguments of the connections go into each host, and win over ours.
        (
            {"hosts": [URL], "connection_kwargs": {"db": 3, "socket_timeout": 9}},
            {"hosts": [{"socket_timeout": 9, "db": 3, "address": URL}]},
        ),
        # What is gone.
        (
            {"hosts": [URL], "stats_prefix": "s:", "blpop_timeout": 2},
            {"hosts": [{"socket_timeout": None, "address": URL}]},
        ),
    ],
)
def test_old_keys_are_translated(config: Any, translated: Any) -> None:
    old = {"BACKEND": OLD, "CONFIG": config, "ROUTING": "x.y"}
    assert legacy.translate(old) == {"BACKEND": legacy.CORE, "CONFIG": translated}


def test_old_sentinels_are_translated() -> None:
    old = block(
        "asgi_redis.RedisSentinelChannelLayer",
        hosts=[["s1", 1], ["s2", 2]],
        services=["main"],
        sentinel_refresh_interval=5,
    )
    assert legacy.translate(old)["CONFIG"]["hosts"] == [
        {
            "socket_timeout": None,
            "sentinels": [("s1", 1), ("s2", 2)],
            "master_name": "main",
        }
    ]


def test_what_is_modern_is_left_alone() -> None:
    modern = block(legacy.CORE, hosts=[URL])
    assert not legacy.is_legacy(modern)
    assert legacy.translate(modern) == modern


def test_a_modern_class_with_routing_only_loses_the_routing() -> None:
    old = {**block(legacy.CORE, hosts=[URL]), "ROUTING": "x.y"}
    assert legacy.translate(old) == block(legacy.CORE, hosts=[URL])


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        (URL, {"socket_timeout": None, "address": URL}),
        (("h", 1), {"socket_timeout": None, "host": "h", "port": 1}),
        (
            {"address": URL, "socket_timeout": 20},
            {"address": URL, "socket_timeout": 20},
        ),
    ],
)
def test_on_redis_connections_may_be_silent(
    settings: Any, host: Any, kept: Any
) -> None:
    settings.CHANNEL_LAYERS = {"default": block(legacy.CORE, hosts=[host])}
    assert layers.layer("default").hosts == [kept]
    # Channels' own is as it was written.
    assert layers.layer("default") is not channel_layers["default"]


def test_over_pubsub_as_well(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {
        "default": block("channels_redis.pubsub.RedisPubSubChannelLayer", hosts=[URL])
    }
    layer = layers.layer("default")
    assert type(layer) is RedisPubSubChannelLayer
    assert layer._kwargs == {"hosts": [{"socket_timeout": None, "address": URL}]}


def test_over_what_is_derived_as_well() -> None:
    class Derived(RedisChannelLayer):
        """A project's own."""

    assert layers.is_redis(Derived)
    assert not layers.is_redis(InMemoryChannelLayer)


def test_in_memory_it_is_the_one_of_channels(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"default": block("channels.layers.InMemoryChannelLayer")}
    assert type(layers.layer("default")) is InMemoryChannelLayer
    assert layers.layer("default") is channel_layers["default"]
    assert not layers.reaches_others("default")
    assert type(doorbells.choose("default")) is not Layer


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({}, "has no BACKEND"),
        (block("no.such.Layer"), "cannot import 'no.such.Layer'"),
        (block("asgi_ipc.IPCChannelLayer"), "cannot import"),
        (block("os.path"), "cannot import|is not a class"),
        (block("os.getcwd"), "is not a class"),
        (block(legacy.CORE, hosts=URL), "must pass a list"),
        (block(legacy.CORE, hsots=[URL]), "hsots"),
        (block("channels.layers.InMemoryChannelLayer", hosts=[URL]), "hosts"),
    ],
)
def test_a_layer_that_cannot_be_made_says_why(
    settings: Any, broken: Any, reason: str
) -> None:
    settings.CHANNEL_LAYERS = {"default": broken}
    with pytest.raises(layers.LayerError, match=reason):
        layers.layer("default")


def test_one_that_cannot_be_imported_is_passed_over_and_said_once(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHANNEL_LAYERS = {"default": block("no.such.Layer")}
    for _ in range(3):
        assert type(doorbells.choose("default")) is not Layer
    (record,) = caplog.records
    assert "cannot import 'no.such.Layer'" in record.getMessage()


def test_an_alias_that_is_not_there_is_no_layer(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}
    assert not layers.reaches_others("default")
    with pytest.raises(layers.LayerError, match="has no 'default'"):
        layers.layer("default")
