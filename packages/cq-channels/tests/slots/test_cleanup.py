"""What a task leaves behind is found, named, and gone for the next one."""

from __future__ import annotations

import locale
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from heard import PATIENCE

from cq_channels.slots.process_cleanup import ProcessCleanup
from cq_channels.slots.session_cleanup import SessionChanges, SessionCleanup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = 1.0  # a run that is looked after at once


class Leaker:
    def __str__(self) -> str:
        return "the leaker"


def in_a_slot(function: Callable[[], Any]) -> None:
    """Do it on a thread of its own, with its own connections."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert not errors, errors


# --- session_cleanup -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SET statement_timeout = 0",
        "set search_path to other",
        "\n  SET SESSION work_mem = '1GB'",
        "SET TIME ZONE 'UTC'",
        "SELECT set_config('work_mem', '1GB', false)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1, 2)",
        "CREATE TEMPORARY TABLE t ()",
        "LISTEN something",
        "PREPARE one AS SELECT 1",
    ],
)
def test_what_outlasts_a_transaction_is_noted(sql: str) -> None:
    changes = SessionChanges()
    changes.note(sql)
    assert changes


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "UPDATE shop SET name = 'x'",
        "SET LOCAL work_mem = '1GB'",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SELECT set_config('work_mem', '1GB', true)",
        "SELECT pg_advisory_xact_lock(1)",
        "CREATE TABLE t ()",
        "SAVEPOINT one",
        "",
    ],
)
def test_what_ends_with_it_is_not(sql: str) -> None:
    changes = SessionChanges()
    changes.note(sql)
    assert not changes


@pytest.mark.parametrize("reset", ["RESET work_mem", "RESET ALL", "DISCARD ALL"])
def test_what_is_taken_back_leaves_nothing(reset: str) -> None:
    changes = SessionChanges()
    changes.note("SET work_mem = '1GB'")
    changes.note(reset)
    assert not changes


def leaves(*statements: str, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether a session that was told this is replaced, and the leaker is named."""
    replaced: list[bool] = []

    def run() -> None:
        connection.ensure_connection()
        session_cleanup = SessionCleanup()
        with connection.cursor() as cursor:
            for sql in statements:
                cursor.execute(sql)
        session_cleanup.clean(Leaker())  # type: ignore[arg-type]
        replaced.append(connection.connection is None)
        # And the next one starts from nothing.
        with connection.cursor() as cursor:
            cursor.execute("SHOW work_mem")
            assert cursor.fetchone() != ("77MB",)
        session_cleanup.clean(Leaker())  # type: ignore[arg-type]
        assert connection.connection is not None

    in_a_slot(run)
    assert replaced == ["the leaker changed its session" in caplog.text]
    return replaced[0]


@pytest.mark.backend("postgres")
@pytest.mark.direct
@pytest.mark.django_db(transaction=True)
def test_row_31_a_session_that_was_changed_is_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert leaves("SET work_mem = '77MB'", caplog=caplog)
    assert "SET work_mem" in caplog.text


@pytest.mark.backend("postgres")
@pytest.mark.direct
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("released", [False, True])
def test_row_31_so_is_one_that_holds_a_lock(
    caplog: pytest.LogCaptureFixture, *, released: bool
) -> None:
    unlock = ["SELECT pg_advisory_unlock(8)"] if released else []
    assert leaves("SELECT pg_advisory_lock(8)", *unlock, caplog=caplog) != released


@pytest.mark.backend("postgres")
@pytest.mark.direct
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "back", ["public", '"$user", public', "no_such_schema, public"]
)
def test_a_search_path_that_is_back_is_none_of_a_change(
    back: str, caplog: pytest.LogCaptureFixture
) -> None:
    # As django-tenants does for each task that enters a tenant.
    there = "SET search_path = information_schema"
    assert not leaves(there, f"SET search_path = {back}", caplog=caplog)
    assert not caplog.messages


@pytest.mark.backend("postgres")
@pytest.mark.direct
@pytest.mark.django_db(transaction=True)
def test_a_search_path_that_is_back_excuses_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = "SET search_path = information_schema"
    for other in ("SET work_mem = '8MB'", "SELECT pg_advisory_lock(7)"):
        caplog.clear()
        assert leaves(there, other, "SET search_path = public", caplog=caplog)
    caplog.clear()
    assert leaves("SET search_path = public", there, caplog=caplog)


@pytest.mark.backend("postgres")
@pytest.mark.direct
@pytest.mark.django_db(transaction=True)
def test_what_a_project_sets_in_each_session_is_none_of_a_task() -> None:
    from django.db.backends.signals import connection_created

    def sets(connection: Any, **kwargs: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET work_mem = '78MB'")

    # The last to be connected counts: by a worker's threads it is that of the session_cleanup.
    connection_created.disconnect(dispatch_uid="cq_channels.slots.session_cleanup")

    def run() -> None:
        session_cleanup = SessionCleanup()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        session = connection.connection
        session_cleanup.clean(Leaker())  # type: ignore[arg-type]
        assert connection.connection is session

    connection_created.connect(sets)
    try:
        in_a_slot(run)
    finally:
        connection_created.disconnect(sets)


@pytest.mark.backend("postgres")
@pytest.mark.django_db(transaction=True)
def test_what_a_project_wraps_around_its_statements_is_taken_off_again() -> None:
    def around(execute: Any, *args: Any) -> Any:
        return execute(*args)

    def run() -> None:
        session_cleanup = SessionCleanup()
        with connection.execute_wrapper(around), connection.cursor() as cursor:
            cursor.execute("SELECT 1")  # it connects within
        assert connection.execute_wrappers == [session_cleanup._note]

    in_a_slot(run)


# --- process_cleanup ---------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Restore the directory whatever happens."""
    monkeypatch.chdir(tmp_path)


def test_row_31_the_directory_is_that_of_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process_cleanup = ProcessCleanup()
    os.chdir("/")
    process_cleanup.clean(Leaker(), LONG, alone=False)  # type: ignore[arg-type]
    assert os.getcwd() == "/"  # somebody else may work there
    process_cleanup.clean(Leaker(), LONG, alone=True)  # type: ignore[arg-type]
    assert os.getcwd() == str(tmp_path)
    assert caplog.text.count("the leaker, or one that ran beside it, changed") == 1


def test_row_31_a_directory_that_was_removed_is_no_error(tmp_path: Path) -> None:
    process_cleanup = ProcessCleanup()
    other = tmp_path / "other"
    other.mkdir()
    os.chdir(other)
    other.rmdir()
    process_cleanup.clean(Leaker(), LONG, alone=True)  # type: ignore[arg-type]
    assert os.getcwd() == str(tmp_path)


def test_row_31_the_locale_is_that_of_before(caplog: pytest.LogCaptureFixture) -> None:
    process_cleanup = ProcessCleanup()
    before = locale.setlocale(locale.LC_ALL)
    other = "C" if before != "C" else "C.UTF-8"
    locale.setlocale(locale.LC_ALL, other)
    process_cleanup.clean(Leaker(), LONG, alone=True)  # type: ignore[arg-type]
    assert locale.setlocale(locale.LC_ALL) == before
    assert "changed the locale" in caplog.text


def test_row_31_a_change_of_the_environment_is_named_once_and_without_its_value(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process_cleanup = ProcessCleanup()
    monkeypatch.setenv("CQ_LEFT", "a secret")
    for _ in range(2):
        process_cleanup.clean(Leaker(), LONG, alone=True)  # type: ignore[arg-type]
    assert os.environ["CQ_LEFT"] == "a secret"
    assert caplog.text.count("changed CQ_LEFT in the environment") == 1
    assert "a secret" not in caplog.text


def test_short_runs_are_looked_after_together(caplog: pytest.LogCaptureFixture) -> None:
    process_cleanup = ProcessCleanup()
    caplog.set_level(logging.WARNING)
    process_cleanup.clean(Leaker(), LONG, alone=True)  # type: ignore[arg-type]
    os.chdir("/")
    process_cleanup.clean(Leaker(), 0.0, alone=True)  # type: ignore[arg-type]
    assert not caplog.records
    process_cleanup._checked_at = 0.0  # later on
    process_cleanup.clean(Leaker(), 0.0, alone=True)  # type: ignore[arg-type]
    assert caplog.records
