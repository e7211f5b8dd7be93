"""On SQLite a task's transaction begins when somebody asks the database for anything."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, connections, transaction

from cq.db import transactions
from cq.db.lazy_atomic import LazyAtomic, OnSQLite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("sqlite"),
]

INSERT = "INSERT INTO auth_group (name) VALUES ('by the driver')"


class Unwanted(Exception):
    pass


@pytest.fixture(autouse=True)
def _connected() -> None:
    """What is not open yet Django opens, and begins at once."""
    connection.ensure_connection()


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What SQLite is told inside, one word of each statement."""
    raw, found = connection.connection, list[str]()
    raw.set_trace_callback(lambda sql: found.append(sql.split()[0]))
    try:
        yield found
    finally:
        raw.set_trace_callback(None)


def _undone(writes: Callable[[], None]) -> None:
    with transactions.task_transaction(connection):
        writes()
        assert not transactions.is_untouched(connection)
        raise Unwanted


def _names() -> list[str]:
    return list(Group.objects.values_list("name", flat=True))


def test_one_that_asks_for_nothing_tells_sqlite_nothing() -> None:
    with _heard() as heard:
        raw = connection.connection
        with transactions.task_transaction(connection):
            assert connection.in_atomic_block
            assert transactions.is_untouched(connection)
    assert heard == []
    assert connection.connection is raw
    assert connection.get_autocommit()
    assert not connection.in_atomic_block


def test_it_begins_once_and_with_the_first_statement() -> None:
    with _heard() as heard, transactions.task_transaction(connection):
        Group.objects.create(name="one")
        Group.objects.create(name="two")
    assert heard == ["BEGIN", "INSERT", "INSERT", "COMMIT"]


def executes() -> None:
    connection.connection.execute(INSERT)


def by_a_cursor() -> None:
    connection.connection.cursor().execute(INSERT)


def by_a_cursor_of_django_s() -> None:
    with connection.cursor() as cursor:
        cursor.cursor.execute(INSERT)


def by_what_it_has_kept() -> None:
    raw = connection.connection
    Group.objects.exists()
    raw.execute(INSERT)


def changes_tables() -> None:
    connection.connection.execute("CREATE TABLE made_inside (a)")
    connection.connection.execute(INSERT)


@pytest.mark.parametrize(
    "writes",
    [
        executes,
        by_a_cursor,
        by_a_cursor_of_django_s,
        by_what_it_has_kept,
        changes_tables,
    ],
)
def test_what_the_driver_is_asked_past_django_is_of_the_transaction(
    writes: Callable[[], None],
) -> None:
    with pytest.raises(Unwanted):
        _undone(writes)
    assert _names() == []
    assert "made_inside" not in connection.introspection.table_names()
    with transactions.task_transaction(connection):
        executes()
    assert _names() == ["by the driver"]


def test_a_block_of_the_driver_s_own_is_one() -> None:
    with transactions.task_transaction(connection):
        with connection.connection as raw:
            assert isinstance(raw, sqlite3.Connection)
            raw.execute(INSERT)
        # The driver's block has committed.
        with pytest.raises(transaction.TransactionManagementError, match="ended"):
            transactions.check_can_commit("default")
    assert _names() == ["by the driver"]


def test_what_is_set_on_it_is_set_on_the_driver_s() -> None:
    raw = connection.connection
    with transactions.task_transaction(connection):
        connection.connection.row_factory = sqlite3.Row
    try:
        assert connection.connection is raw
        assert raw.row_factory is sqlite3.Row
    finally:
        raw.row_factory = None


def test_who_asks_from_another_thread_begins_nothing() -> None:
    found: list[Any] = []

    def ask() -> None:
        stand_in.interrupt()
        found.extend((stand_in.total_changes, stand_in.in_transaction))

    # Not Django's proxy, which is another connection on each thread.
    wrapper = connections["default"]
    with _heard() as heard, transactions.task_transaction(wrapper):
        stand_in = wrapper.connection
        assert type(stand_in) is OnSQLite
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert heard == []
    assert found == [connection.connection.total_changes, True]


def test_one_that_takes_the_lock_takes_it_at_once() -> None:
    with _heard() as heard, transactions.task_transaction(connection, write_lock=True):
        assert heard == ["BEGIN"]
    assert heard == ["BEGIN", "COMMIT"]


def test_one_that_the_settings_let_take_the_lock_takes_it_at_once() -> None:
    connection.transaction_mode = "IMMEDIATE"
    try:
        with _heard() as heard, LazyAtomic(connection):
            assert heard == ["BEGIN"]
    finally:
        connection.transaction_mode = None


def test_what_raw_sql_has_left_open_is_told_in_django_s_words() -> None:
    raw = connection.connection
    raw.execute("BEGIN")
    try:
        with (
            pytest.raises(OperationalError, match="within a transaction"),
            LazyAtomic(connection),
        ):
            pytest.fail("it has begun")
    finally:
        raw.execute("ROLLBACK")


def test_one_that_could_not_begin_is_tried_again_by_the_next_statement() -> None:
    raw = connection.connection
    refusals = [sqlite3.SQLITE_DENY]

    def refuse(action: int, *_: Any) -> int:
        if action == sqlite3.SQLITE_TRANSACTION and refusals:
            return refusals.pop()
        return sqlite3.SQLITE_OK

    def executes_twice() -> None:
        raw.set_authorizer(refuse)
        try:
            with pytest.raises(sqlite3.DatabaseError):
                executes()
            executes()
        finally:
            raw.set_authorizer(None)

    with pytest.raises(Unwanted):
        _undone(executes_twice)
    assert _names() == []
