"""What a probe is told of a worker."""

from __future__ import annotations

import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from cq_channels.supervisor.health import Health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def health() -> Iterator[Health]:
    made = Health(address=("127.0.0.1", 0))
    made.start()
    yield made
    made.close()


def asked(health: Health, method: str = "GET") -> tuple[int, str]:
    assert health.port is not None
    connection = http.client.HTTPConnection("127.0.0.1", health.port, timeout=60)
    try:
        connection.request(method, "/anything")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_before_the_first_heartbeat_it_is_not_well(health: Health) -> None:
    status, text = asked(health)

    assert status == 503
    assert "has not reached the database yet" in text


def test_after_a_heartbeat_it_is_well(health: Health) -> None:
    health.beat()

    assert asked(health) == (200, "ok\n")
    assert asked(health, "HEAD") == (200, "")


def test_after_the_time_of_a_lease_without_one_it_is_not(
    health: Health, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CQ_LEASE = 30
    health.beat()
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)

    status, text = asked(health)

    assert status == 503
    assert "no heartbeat has reached the database for 31 s" in text


def test_nothing_but_reading_is_answered(health: Health) -> None:
    assert asked(health, "POST")[0] == 501


def test_one_who_hangs_up_or_says_nothing_keeps_nobody(health: Health) -> None:
    health.beat()
    assert health.port is not None
    with socket.create_connection(("127.0.0.1", health.port)):
        assert asked(health) == (200, "ok\n")


def test_the_file_is_touched_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "healthy"
    health = Health(path)
    health.start()
    assert not path.exists()
    health.beat()
    assert path.exists()
    health.close()
    assert not path.exists()
    assert health.port is None
