"""An atomic task that holds SQLite's write lock for long is named."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connections
from driving import run

from cq import task
from cq.runs import write_lock
from cq.runs.watcher import watcher
from cq.status import Status

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("sqlite"),
]

told = threading.Event()


class _Heard(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if "write lock" in record.getMessage():
            told.set()


@pytest.fixture(autouse=True)
def _by_hand(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    settings.CQ_RUN_INLINE = False
    monkeypatch.setattr(write_lock, "_warned", set())
    monkeypatch.setattr(write_lock, "WARN_SECONDS", 0.1)
    told.clear()
    heard = _Heard()
    logging.getLogger("cq.runner").addHandler(heard)
    yield
    logging.getLogger("cq.runner").removeHandler(heard)
    watcher.close()


@task
def holds(cqt: Any, name: str) -> bool:
    Group.objects.create(name=name)
    return told.wait(20)


def test_it_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cq.runner"):
        assert run(holds.delay("first")).result is True
        assert run(holds.delay("second")).status == Status.COMPLETE
    warned = [r.getMessage() for r in caplog.records if "write lock" in r.getMessage()]
    assert len(warned) == 1
    assert warned[0].startswith(f"{holds.name} ")
    assert "atomic=False" in warned[0]


def test_the_lock_is_held_from_the_first_write_on() -> None:
    connection = connections["default"]
    connection.ensure_connection()
    lock = write_lock.WriteLock(connection.connection, at_once=False)
    assert lock.seconds(100.0) == 0
    Group.objects.count()
    assert lock.seconds(200.0) == 0
    Group.objects.create(name="one")
    assert lock.seconds(300.0) == 0
    assert lock.seconds(302.0) == 2
    at_once = write_lock.WriteLock(connection.connection, at_once=True)
    assert at_once.seconds(time.monotonic() + 5) >= 5
