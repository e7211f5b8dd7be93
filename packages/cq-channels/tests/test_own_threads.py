"""A lock on cq's tables: the worker's own threads wait for it in bits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import OperationalError, connection
from heard import PATIENCE
from table_locks import locked

from cq.db import error_codes
from cq.tables.queries import tasks
from cq_channels import own_threads

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("postgres", "valkey", "postgres14", "mariadb"),
    # Behind a pooler there is no session whose locks could have a limit.
    pytest.mark.direct,
]


def test_row_41_a_thread_of_the_worker_waits_for_a_lock_no_longer_than_it_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_threads, "LOCK_TIMEOUT_SECONDS", 1)
    errors: list[BaseException] = []
    found: list[bool] = []

    @own_threads.limit_lock_waits()
    def look() -> None:
        try:
            with pytest.raises(OperationalError) as caught, locked():
                tasks("default").exists()
            errors.append(caught.value)
            connection.close()
            found.append(tasks("default").exists())
        finally:
            connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(PATIENCE)
    assert error_codes.is_lock_timeout(errors[0])
    assert found == [False]


def test_who_is_told_of_a_dead_thread_hears_of_it_before_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    def cannot_log(*args: Any, **kwargs: Any) -> None:
        raise ValueError("I/O operation on closed file.")

    def dies() -> None:
        raise KeyError("no")

    monkeypatch.setattr(own_threads.logger, "critical", cannot_log)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    thread = own_threads.CriticalThread(dies, "cq-test", told.append)
    thread.start()
    thread.join(PATIENCE)
    assert told == ["cq-test"]


def test_a_session_of_the_project_waits_as_it_always_has() -> None:
    setting = {
        "postgresql": "SHOW lock_timeout",
        "mysql": "SELECT @@lock_wait_timeout",
    }
    with connection.cursor() as cursor:
        cursor.execute(setting[connection.vendor])
        assert str(cursor.fetchone()[0]) not in ("5s", "5")
