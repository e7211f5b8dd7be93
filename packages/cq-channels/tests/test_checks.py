"""Each check: the mistake it finds, and what is no mistake."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection

from cq_channels import checks, doorbells
from cq_channels.channel_layers import legacy

# Django's own checks may ask the database what it can do, the first of them in a process.
pytestmark = pytest.mark.django_db

URL = "redis://:s3cret@localhost:6379/1"
CORE = {"BACKEND": legacy.CORE, "CONFIG": {"hosts": [URL]}}
MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}


#: On MariaDB nothing rings without a layer that reaches other processes.
SILENT = {"cq_channels.W003"} if connection.vendor == "mysql" else set()


def found() -> dict[str | None, CheckMessage]:
    return {m.id: m for m in run_checks() if str(m.id).startswith("cq_channels.")}


def test_these_settings_are_in_order() -> None:
    assert set(found()) == SILENT


def test_no_layer_at_all_is_in_order(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}
    assert set(found()) == SILENT
    del settings.CHANNEL_LAYERS
    assert set(found()) == SILENT


def test_an_in_memory_layer_is_in_order_where_the_database_rings(
    settings: Any,
) -> None:
    settings.CHANNEL_LAYERS = {"default": MEMORY}
    assert set(found()) == SILENT


def test_e001_names_the_alias_that_is_missing(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"default": MEMORY, "short": MEMORY}
    settings.CQ_CHANNEL_LAYER = "long"
    error = found().pop("cq_channels.E001")
    assert "'long'" in error.msg
    assert "default, short" in error.hint


def test_a_wrong_type_is_left_to_the_check_of_settings(settings: Any) -> None:
    settings.CQ_CHANNEL_LAYER = ["long"]
    assert found() == {}


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"BACKEND": "no.such.Layer"}, "no.such.Layer"),
        ({"BACKEND": legacy.CORE, "CONFIG": {"hosts": URL}}, "must pass a list"),
    ],
)
def test_e002_says_why_the_layer_cannot_be_made(
    settings: Any, block: Any, reason: str
) -> None:
    settings.CHANNEL_LAYERS = {"default": block}
    error = found()["cq_channels.E002"]
    assert reason in error.msg
    assert "cq-channels[redis]" in error.hint


def test_w001_prints_the_lines_to_write(settings: Any) -> None:
    settings.CQ_CHANNEL_LAYER = "long"
    old = {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "CONFIG": {
            "hosts": ["redis://localhost:6379/1"],
            "expiry": 1800,
            "channel_capacity": {"cq-tasks": 1000},
        },
        "ROUTING": "cq.routing.channel_routing",
    }
    settings.CHANNEL_LAYERS = {"long": old}
    warning = found().pop("cq_channels.W001")
    assert "'long'" in warning.msg
    written = written_in(warning)
    assert written == {"long": legacy.translate(old)}
    # Who writes them has no more to hear.
    settings.CHANNEL_LAYERS = written
    assert found() == {}


@pytest.mark.parametrize(
    ("hosts", "patient"),
    [
        (["redis://h:1"], [{"socket_timeout": None, "address": "redis://h:1"}]),
        ([("h", 1)], [{"socket_timeout": None, "host": "h", "port": 1}]),
        (
            [{"address": "redis://h:1", "socket_timeout": 5}],
            [{"socket_timeout": None, "address": "redis://h:1"}],
        ),
        (None, [{"socket_timeout": None, "address": "redis://localhost:6379"}]),
    ],
)
def test_w002_prints_hosts_that_wait(settings: Any, hosts: Any, patient: Any) -> None:
    config = {"capacity": 500} | ({} if hosts is None else {"hosts": hosts})
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": legacy.CORE, "CONFIG": config}}
    written = written_in(found().pop("cq_channels.W002"))
    assert written["default"]["CONFIG"] == {"capacity": 500, "hosts": patient}
    settings.CHANNEL_LAYERS = written
    assert found() == {}


@pytest.mark.parametrize(
    "host",
    [
        {"address": URL, "socket_timeout": None},
        {"address": URL, "socket_timeout": 30},
        f"{URL}?socket_timeout=30",
    ],
)
def test_hosts_that_wait_are_in_order(settings: Any, host: Any) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": legacy.CORE, "CONFIG": {"hosts": [host]}}
    }
    assert found() == {}


def test_w002_is_for_every_layer_on_redis_but_pubsub(settings: Any) -> None:
    pubsub = {**CORE, "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}
    settings.CHANNEL_LAYERS = {"default": pubsub, "other": CORE}
    assert "'other'" in found()["cq_channels.W002"].msg
    settings.CHANNEL_LAYERS = {"default": pubsub}
    assert found() == {}


@pytest.mark.parametrize("version", ["7.4.0", "5.0.1"])
def test_older_redis_clients_wait_by_themselves(
    settings: Any, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    settings.CHANNEL_LAYERS = {"default": CORE}
    monkeypatch.setattr(checks.importlib.metadata, "version", lambda name: version)
    assert found() == {}


def test_passwords_are_not_printed(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "asgi_redis.RedisChannelLayer",
            "CONFIG": {
                "hosts": [URL],
                "connection_kwargs": {"password": "hunter2"},
                "symmetric_encryption_keys": ["k3y"],
            },
        },
        "other": CORE,
    }
    messages = found()
    assert set(messages) == {"cq_channels.W001", "cq_channels.W002"}
    text = "".join(f"{m.msg}{m.hint}" for m in messages.values())
    assert not [s for s in ("s3cret", "hunter2", "k3y") if s in text]
    assert "(***: as it is now)" in text


@pytest.mark.parametrize(
    "host",
    [
        "redis://u:hun:ter2@h",
        "redis://:hun@ter2@h",
        "redis://:hun/ter2@h",
        "redis://:hun?ter2@h",
        "redis://h/0?password=hunter2",
        "redis://h/0?password=hun@ter2",
        "unix:///s?password=hunter2",
        {"address": "redis://h", "ssl_password": "hunter2"},
        {"address": "redis://h", "username": "hunter2"},
        {"sentinels": [["h", 1]], "sentinel_kwargs": {"password": "hunter2"}},
    ],
)
def test_no_part_of_a_password_is_printed(settings: Any, host: Any) -> None:
    block = {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": {"hosts": [host]}}
    settings.CHANNEL_LAYERS = {"default": block, "other": CORE}
    text = "".join(f"{m.msg}{m.hint}" for m in found().values())
    assert "***" in text
    assert not [part for part in ("hun", "ter2") if part in text]


def test_w003_says_that_nothing_rings(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on MySQL.
    monkeypatch.setattr(doorbells, "choose", lambda using: doorbells.NoDoorbell())
    warning = found().pop("cq_channels.W003")
    assert "'default'" in warning.msg
    assert "up to 1 s late" in warning.hint


def written_in(message: CheckMessage) -> Any:
    scope: dict[str, Any] = {}
    exec(message.hint.split("\n", 1)[1], scope)
    return scope["CHANNEL_LAYERS"]


def test_w004_reminds_of_a_worker_on_each_host_at_deployment(settings: Any) -> None:
    def deployed() -> set[str | None]:
        found = run_checks(include_deployment_checks=True)
        return {m.id for m in found if str(m.id).startswith("cq_channels.W004")}

    settings.DEBUG = False
    assert deployed() == set()
    settings.CQ_EMBEDDED = True
    assert deployed() == {"cq_channels.W004"}
    assert "cq_channels.W004" not in found()
    settings.DEBUG = True
    assert deployed() == set()


@pytest.mark.parametrize(
    ("installed", "is_old"),
    [
        ("4.2.1", True),
        ("3.0", True),
        ("4.2.2", False),
        ("4.10.0", False),
        (None, False),
    ],
)
def test_w005_names_a_daphne_that_takes_messages_of_any_size(
    monkeypatch: pytest.MonkeyPatch, installed: str | None, is_old: bool
) -> None:
    monkeypatch.setattr(checks, "_version", {"daphne": installed}.get)
    told = [m.msg for m in checks.check_daphne()]
    assert bool(told) is is_old
    assert all(f"daphne is {installed}." in text for text in told)
    assert "cq_channels.W005" not in found()  # with `check --deploy` alone


def test_what_is_not_installed_has_no_version() -> None:
    assert checks._version("no-such-distribution") is None
