"""Behind a pooler in transaction mode, whether or not the settings tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core import checks
from django.db import connection

from cq.db import poolers
from cq.models import Worker
from cq.workers.lease import Lease
from cq.workers.session_locks import SessionLocks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)
pooled = pytest.mark.backend("pgbouncer")
direct = pytest.mark.backend("postgres", "valkey")

DB = "default"
ID = (1 << 61) + 7


@pytest.fixture(params=["told", "untold"])
def told(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    monkeypatch.setitem(
        connection.settings_dict, poolers.SETTING, request.param == "told"
    )
    yield request.param == "told"
    connection.close()


def locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
        return int(cursor.fetchone()[0])


def warnings() -> list[str | None]:
    found = checks.run_checks(tags=["database"], databases=[DB])
    return [message.id for message in found]


@pooled
def test_row_39_no_lock_is_taken_in_a_session_of_a_pooler(
    told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    session = SessionLocks(DB)
    for _ in range(2):
        assert session.hold([ID]) == set()
        assert session.hold([]) == set()
        connection.close()
    assert locks() == 0
    assert [poolers.SETTING in text for text in caplog.messages] == [True] * (not told)


@pooled
def test_row_39_a_worker_behind_a_pooler_does_not_say_that_it_holds_a_lock(
    settings: Any, told: bool
) -> None:
    settings.CQ_HEARTBEAT = 0.05
    lease = Lease(DB, "worker", locks=True)
    lease.register()
    # As one that had a lock before there was a pooler: it would be taken for dead.
    Worker.objects.update(locked=True)
    lease.start_beating()
    try:
        while Worker.objects.get().locked:
            pass
        assert locks() == 0
    finally:
        lease.close()


@pooled
def test_row_39_a_check_names_the_setting(told: bool) -> None:
    assert warnings() == ([] if told else ["cq.W006"])


@pytest.mark.direct
@direct
def test_a_session_of_our_own_is_known_for_one() -> None:
    with connection.cursor() as cursor:
        assert not poolers.is_behind(cursor)
    assert warnings() == []


@pooled
def test_row_39_sessions_of_the_pooler_are_left_as_they_were() -> None:
    """Whatever the tests before this one have done through it."""
    with connection.cursor() as cursor:
        for _ in range(100):
            cursor.execute(
                "SELECT name, setting FROM pg_settings WHERE source = 'session'"
                " AND NOT name = ANY(%s)",
                [list(SYNCED)],
            )
            assert cursor.fetchall() == []
            cursor.execute("SELECT * FROM pg_listening_channels()")
            assert cursor.fetchall() == []


#: What a pooler keeps for each of its clients, as PostgreSQL reports it by itself.
SYNCED = (
    "application_name",
    "client_encoding",
    "DateStyle",
    "standard_conforming_strings",
    "TimeZone",
)
