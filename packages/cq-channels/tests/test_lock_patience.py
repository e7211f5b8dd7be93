"""A lock on cq's tables: the worker's own threads wait for it in bits."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, connection
from heard import PATIENCE
from table_locks import locked

from cq import lock_waits
from cq.rows import tasks
from cq_channels import lock_patience

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("postgres", "valkey", "postgres14", "mariadb"),
    # Behind a pooler there is no session whose locks could have a limit.
    pytest.mark.direct,
]


def test_row_41_a_thread_of_the_worker_waits_for_a_lock_no_longer_than_it_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock_patience, "SECONDS", 1)
    errors: list[BaseException] = []
    found: list[bool] = []

    @lock_patience.limited()
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
    assert lock_waits.has_run_out(errors[0])
    assert found == [False]


def test_a_session_of_the_project_waits_as_it_always_has() -> None:
    setting = {
        "postgresql": "SHOW lock_timeout",
        "mysql": "SELECT @@lock_wait_timeout",
    }
    with connection.cursor() as cursor:
        cursor.execute(setting[connection.vendor])
        assert str(cursor.fetchone()[0]) not in ("5s", "5")
