"""One contract for all doorbells, and what each does in its own kind of trouble."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import cq_backends
import pytest
from django.db import connection, connections, transaction
from heard import PATIENCE, Heard

from cq import task
from cq.tables.queries import tasks
from cq.workers import doorbell
from cq_channels import doorbells
from cq_channels.channel_layers import layers
from cq_channels.doorbells import data_version, messages
from cq_channels.doorbells.data_version import DataVersion
from cq_channels.doorbells.layer import Layer
from cq_channels.doorbells.listener import DoorbellListener
from cq_channels.doorbells.notify import Notify
from cq_channels.doorbells.protocol import NoDoorbell
from cq_channels.doorbells.sender import Sender, sender

if TYPE_CHECKING:
    from pathlib import Path

QUEUED = [(uuid.UUID(int=1), "default"), (uuid.UUID(int=2), "mail")]


@task("doorbells.nothing")
def nothing(cqt: Any) -> None:
    pass


@pytest.fixture
def heard() -> Heard:
    return Heard()


class DoorbellContract:
    """What the sender and the worker expect of every transport."""

    transport: type

    @pytest.fixture(autouse=True)
    def _database(self, transactional_db: None) -> Any:
        yield
        # Else it may hold the database that the next test flushes.
        assert sender.close(PATIENCE)

    @pytest.fixture
    def listening(self, heard: Heard) -> Any:
        listening = DoorbellListener("default", heard)
        listening.start()
        self.until_it_listens(heard)
        yield listening
        listening.stop()
        assert not listening._thread.is_alive()

    def until_it_listens(self, heard: Heard) -> None:
        """Return when what rings is heard."""
        heard.until_woken()
        heard.forget()

    def send_garbage(self) -> None:
        """Send what no cq has sent."""
        raise NotImplementedError

    def test_it_is_the_one_chosen(self) -> None:
        assert type(doorbells.choose("default")) is self.transport

    def test_what_is_committed_wakes_the_listener(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        handle = nothing.delay()
        heard.until_told(handle.id)

    def test_it_is_heard_again_and_again(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        for _ in range(3):
            handle = nothing.delay()
            heard.until_told(handle.id)
            heard.forget()

    def test_row_18_many_rings_become_few_messages(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        handles = nothing.delay_many([()] * 2000)
        for handle in handles:
            doorbell.ring("default", [(handle.id, "default")])
        heard.until_woken()
        assert sender.close(PATIENCE)
        heard.forget()
        heard.until_told(nothing.delay().id)
        assert len(heard.wakes) < 100

    def test_nobody_has_to_listen(self) -> None:
        for _ in range(300):
            doorbell.ring("default", QUEUED)
        assert sender.close(PATIENCE)

    def test_row_14_garbage_is_survived(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        self.send_garbage()
        heard.until_told(nothing.delay().id)
        assert listening._thread.is_alive()

    def test_to_stop_takes_less_than_a_second(
        self, listening: DoorbellListener
    ) -> None:
        listening._stop.set()
        listening._thread.join(1.0)
        assert not listening._thread.is_alive()

    def test_it_can_be_closed_at_any_time(self) -> None:
        transport = doorbells.choose("default")
        transport.close()
        transport.send(QUEUED)
        transport.close()
        transport.send(QUEUED)
        transport.close()
        transport.close()


@pytest.mark.backend("sqlite")
class TestDataVersion(DoorbellContract):
    transport = DataVersion

    def send_garbage(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE rubbish (x)")
            cursor.execute("DROP TABLE rubbish")

    def test_a_script_that_ends_at_once_is_heard(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        run_script("from doorbells.test_doorbells import nothing; nothing.delay()")
        heard.until_woken()
        assert tasks("default").count() == 1

    def test_row_01_what_was_rolled_back_is_not_heard(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        with contextlib.suppress(KeyError), transaction.atomic():
            nothing.delay()
            raise KeyError
        assert heard.wakes == []

    def test_a_locked_file_is_waited_for(self, heard: Heard, tmp_path: Path) -> None:
        # Without a WAL, a commit keeps even readers out for its last moment.
        file = tmp_path / "locked"
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("CREATE TABLE things (x)")
        other.execute("BEGIN EXCLUSIVE")
        with (
            patch.dict(connection.settings_dict, NAME=file),
            contextlib.closing(data_version._connect("default")) as polling,
        ):
            assert data_version._version(polling) is None
            other.execute("COMMIT")
            assert data_version._version(polling) is not None
        other.close()

    def test_no_file_is_made_where_there_is_none(self, tmp_path: Path) -> None:
        missing = tmp_path / "missing"
        elsewhere = patch.dict(connection.settings_dict, NAME=missing)
        with elsewhere, pytest.raises(sqlite3.OperationalError):
            DataVersion("default").listen(Heard(), threading.Event())
        assert not missing.exists()


@pytest.mark.direct
@pytest.mark.backend("postgres")
class TestNotify(DoorbellContract):
    transport = Notify

    def send_garbage(self) -> None:
        deep = "[" * 3000
        for payload in ("", "{", "1", "[]", deep, '{"type":"cq.wake","v":1}', "ä" * 99):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify('cq-tasks', %s)", [payload])

    def test_a_script_that_ends_at_once_is_heard(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        run_script("from doorbells.test_doorbells import nothing; nothing.delay()")
        heard.until_told(tasks("default").get().id)

    def test_it_comes_back_when_its_connection_is_cut(
        self,
        heard: Heard,
        listening: DoorbellListener,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        cut_doorbells()
        # It looks once for what it missed, and once more when it listens again.
        heard.until(lambda wakes: len(wakes) >= 2)
        heard.forget()
        handle = nothing.delay()
        heard.until(lambda wakes: any(w and handle.id in dict(w) for w in wakes))
        assert "out of order" in caplog.text

    def test_a_cut_connection_loses_no_ring(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        transport = Notify("default")
        transport.send(QUEUED)
        heard.until(lambda wakes: QUEUED in wakes)
        pid = transport._sending.info.backend_pid
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        heard.forget()
        other = Sender(lambda using: transport)
        other.ring("default", QUEUED)
        heard.until(lambda wakes: QUEUED in wakes)
        assert other.close(PATIENCE)

    def test_it_holds_no_connection_when_idle(self) -> None:
        nothing.delay()
        assert sender.close(PATIENCE)
        # The server ends a session some time after its client has gone.
        end = time.monotonic() + PATIENCE
        while doorbell_count() and time.monotonic() < end:
            time.sleep(0.01)
        assert doorbell_count() == 0

    def test_long_queue_names_fit(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        ready = [(uuid.uuid4(), f"{n:03}" * 40) for n in range(100)]
        with contextlib.closing(Notify("default")) as transport:
            transport.send(ready)
        heard.until(lambda wakes: None in wakes)

    def test_an_in_memory_layer_is_passed_over(self, settings: Any) -> None:
        settings.CHANNEL_LAYERS = IN_MEMORY
        assert type(doorbells.choose("default")) is Notify


IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


class OverValkey(DoorbellContract):
    transport = Layer
    alias = "default"
    #: Of the key, or of the Pub/Sub channel.
    prefix = "asgi"

    @pytest.fixture(autouse=True)
    def _empty(self, _database: None) -> Any:
        with valkey() as client:
            client.delete(f"{self.prefix}cq-tasks")
        return

    def until_it_listens(self, heard: Heard) -> None:
        """At once: the channel is a queue."""

    def send_garbage(self) -> None:
        loop_layer = Layer(self.alias)
        for message in (
            {},
            {"type": 3},
            {"type": "cq.wake"},
            {"type": "cq.wake", "v": 1, "ids": ["x", None, {}], "q": [1]},
            {"type": "other.thing", "ids": [1]},
            {"type": "cq.wake", "v": 1, "ids": {"a": 1}, "q": "x"},
        ):
            loop = loop_layer._loop or doorbells.layer._new_loop()
            loop_layer._loop = loop
            loop.run_until_complete(
                layers.layer(self.alias).send(messages.CHANNEL, message)
            )
        loop_layer.close()
        with valkey() as client:
            self.send_raw(client, os.urandom(12) + b"\xc1 no msgpack")
            self.send_raw(client, os.urandom(12) + b"\x07")

    def send_raw(self, client: Any, content: bytes) -> None:
        client.zadd(f"{self.prefix}cq-tasks", {content: time.time()})

    def test_row_05_it_comes_back_with_the_server(
        self,
        heard: Heard,
        listening: DoorbellListener,
        valkey_server: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG, "cq.doorbell")
        heard.until_told(nothing.delay().id)
        valkey_server.stop()
        handle = nothing.delay()
        until(lambda: "could not ring" in caplog.text)
        valkey_server.start()
        self.until_it_listens(heard)
        heard.forget()
        # What is rung now waits for the sender's next try.
        handle = nothing.delay()
        heard.until(lambda wakes: any(w and handle.id in dict(w) for w in wakes))
        # Said after the send, which has woken us already.
        until(lambda: "can be rung again" in caplog.text)

    def test_row_08_a_full_channel_is_no_error(
        self, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        transport = Layer(self.alias)
        for _ in range(120):
            transport.send(QUEUED)
        transport.close()
        assert not caplog.records


@pytest.mark.backend("valkey")
class TestCoreLayer(OverValkey):
    def test_a_script_that_ends_at_once_is_heard(
        self, heard: Heard, listening: DoorbellListener
    ) -> None:
        run_script("from doorbells.test_doorbells import nothing; nothing.delay()")
        heard.until_told(tasks("default").get().id)


@pytest.mark.backend("valkey")
class TestPubSubLayer(OverValkey):
    @pytest.fixture(autouse=True)
    def _settings(self, settings: Any) -> None:
        settings.CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                "CONFIG": {"hosts": [cq_backends._valkey_url()]},
            }
        }

    def until_it_listens(self, heard: Heard) -> None:
        with valkey() as client:
            until(lambda: dict(client.pubsub_numsub("cq-tasks"))[b"cq-tasks"] > 0)

    def send_raw(self, client: Any, content: bytes) -> None:
        client.publish("cq-tasks", content)

    def test_it_hears_when_the_server_comes_late(
        self, heard: Heard, valkey_server: Any
    ) -> None:
        valkey_server.stop()
        listening = DoorbellListener("default", heard)
        listening.start()
        heard.until_woken()
        valkey_server.start()
        self.until_it_listens(heard)
        heard.forget()
        heard.until_told(nothing.delay().id)
        listening.stop()


@pytest.mark.backend("valkey")
class TestLegacyLayer(OverValkey):
    alias = "long"

    @pytest.fixture(autouse=True)
    def _settings(self, settings: Any) -> None:
        settings.CQ_CHANNEL_LAYER = "long"
        settings.CHANNEL_LAYERS = {
            "long": {
                "BACKEND": "asgi_redis.RedisChannelLayer",
                "CONFIG": {
                    "hosts": [cq_backends._valkey_url()],
                    "expiry": 1800,
                    "channel_capacity": {"cq-tasks": 1000},
                },
                "ROUTING": "cq.routing.channel_routing",
            }
        }


def test_a_database_without_a_bell_is_looked_at(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CHANNEL_LAYERS = {}
    monkeypatch.setattr(connection, "vendor", "mysql")
    assert type(doorbells.choose("default")) is NoDoorbell


# --- helpers --------------------------------------------------------------------------


def valkey() -> Any:
    import redis

    return redis.Redis.from_url(cq_backends._valkey_url(), retry=None)


def until(wanted: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        if wanted():
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_script(code: str) -> None:
    # What is sent at the end is what counts here, not how fast this machine does it.
    patient = (
        f"from cq_channels.doorbells import sender; sender.EXIT_SECONDS = {PATIENCE}"
    )
    script = f"import django; django.setup(); {patient}; {code}"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def cut_doorbells() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'cq doorbell'"
        )
        cursor.fetchall()


def doorbell_count() -> int:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'cq doorbell'"
        )
        return int(cursor.fetchone()[0])
