"""NOTIFY through a pooler: it can be sent there, and is never heard."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any

import cq_backends
import pytest
from django.db import connection
from heard import PATIENCE, Heard

from cq import task
from cq.db import poolers
from cq_channels.child import main
from cq_channels.doorbells import messages
from cq_channels.doorbells.listener import DoorbellListener
from cq_channels.doorbells.notify import Notify
from cq_channels.doorbells.sender import sender

pytestmark = [pytest.mark.backend("pgbouncer"), pytest.mark.django_db(transaction=True)]


@task("pooled_doorbell.nothing")
def nothing(cqt: Any) -> None:
    pass


def test_row_39_what_is_rung_through_a_pooler_is_heard_beside_it() -> None:
    import psycopg

    url = os.environ[cq_backends.DATABASE_URL]
    name = cq_backends.DATABASE
    with psycopg.connect(url, dbname=name, autocommit=True) as worker:
        worker.execute(f'LISTEN "{messages.CHANNEL}"')
        handle = nothing.delay()
        heard = next(iter(worker.notifies(timeout=PATIENCE)))
        assert messages.loads(heard.payload) == [(handle.id, "default")]
    assert sender.close(PATIENCE)


@pytest.mark.parametrize("told", [True, False])
def test_row_39_nobody_listens_in_a_session_of_the_pooler(
    told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "cq.doorbell")
    monkeypatch.setitem(connection.settings_dict, poolers.SETTING, told)
    stop = threading.Event()
    listener = threading.Thread(target=Notify("default").listen, args=(Heard(), stop))
    listener.start()
    end = time.monotonic() + PATIENCE
    while not caplog.records and time.monotonic() < end:
        listener.join(0.01)
    assert listener.is_alive()
    stop.set()
    listener.join(PATIENCE)
    assert not listener.is_alive()
    assert "pooler" in caplog.text
    assert caplog.records[0].levelno == (logging.DEBUG if told else logging.WARNING)
    for _ in range(100):
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM pg_listening_channels()")
            assert cursor.fetchall() == []


def test_to_stop_takes_less_than_a_second_there() -> None:
    listening = DoorbellListener("default", Heard())
    listening.start()
    listening._stop.set()
    listening._thread.join(PATIENCE)
    assert not listening._thread.is_alive()


def test_row_39_a_child_sets_nothing_in_a_session_of_the_pooler() -> None:
    connection.ensure_connection()
    for _ in range(100):
        main._end_queries_of_the_dead(connection)
        assert _check_interval() == "0"


def _check_interval() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW client_connection_check_interval")
        return str(cursor.fetchone()[0])
