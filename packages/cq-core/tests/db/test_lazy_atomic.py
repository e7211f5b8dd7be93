"""The block of a task does what Django's does, also where the task asks for nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from cq.db import prepared
from cq.db.lazy_atomic import NONE, LazyAtomic, transaction_status
from cq.db.prepared import PREPARE_FROM_USE

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

server = pytest.mark.backend("postgres", "valkey")

hooks: list[str] = []


class Unwanted(Exception):
    pass


def _state() -> dict[str, Any]:
    """What the next to use this connection may depend on."""
    raw = connection.connection
    return {
        "open": raw is not None,
        "autocommit": connection.autocommit,
        "in_atomic_block": connection.in_atomic_block,
        "atomic_blocks": list(connection.atomic_blocks),
        "savepoint_ids": list(connection.savepoint_ids),
        "run_on_commit": list(connection.run_on_commit),
        "needs_rollback": connection.needs_rollback,
        "commit_on_exit": connection.commit_on_exit,
        "closed_in_transaction": connection.closed_in_transaction,
        "of the driver": raw is not None
        and connection.vendor == "postgresql"
        and (raw.autocommit, transaction_status(raw)),
    }


# --- what a task may do ----------------------------------------------------------------


def nothing() -> None:
    pass


def writes() -> None:
    Group.objects.create(name="written")


def raises() -> None:
    raise Unwanted("before it has asked for anything")


def writes_and_raises() -> None:
    writes()
    raise Unwanted("after it has written")


def hangs_something_on_the_commit() -> None:
    transaction.on_commit(lambda: hooks.append("committed"))


def wants_a_rollback() -> None:
    transaction.set_rollback(True)


def opens_a_block_for_nothing() -> None:
    with transaction.atomic():
        pass


def opens_a_block_that_is_undone() -> None:
    try:
        with transaction.atomic():
            writes()
            raise Unwanted
    except Unwanted:
        pass


def opens_a_block_without_a_savepoint_that_is_undone() -> None:
    try:
        with transaction.atomic(savepoint=False):
            raise Unwanted
    except Unwanted:
        pass


def opens_a_durable_block() -> None:
    with transaction.atomic(durable=True):
        pass


def closes_the_connection() -> None:
    connection.close()


def closes_the_connection_and_raises() -> None:
    connection.close()
    raise Unwanted


def breaks_the_connection() -> None:
    connection.connection.close()


def turns_autocommit_on() -> None:
    transaction.set_autocommit(True)


def asks_the_driver() -> None:
    with connection.connection.cursor() as cursor:
        cursor.execute("INSERT INTO auth_group (name) VALUES ('written by the driver')")


def asks_the_driver_and_raises() -> None:
    asks_the_driver()
    raise Unwanted


def copies_and_raises() -> None:
    copies()
    raise Unwanted


def copies() -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY auth_group (name) FROM STDIN") as copy,
    ):
        copy.write("copied\n")


ANYWHERE = (
    nothing,
    writes,
    raises,
    writes_and_raises,
    hangs_something_on_the_commit,
    wants_a_rollback,
    opens_a_block_for_nothing,
    opens_a_block_that_is_undone,
    opens_a_block_without_a_savepoint_that_is_undone,
    opens_a_durable_block,
    turns_autocommit_on,
)
ON_A_SERVER = (
    closes_the_connection,
    closes_the_connection_and_raises,
    breaks_the_connection,
    asks_the_driver,
    asks_the_driver_and_raises,
    copies,
    copies_and_raises,
)


def _outcome(block: Any, what: Callable[[], None]) -> dict[str, Any]:
    connection.close()
    connection.ensure_connection()
    hooks.clear()
    raised = ""
    try:
        with block:
            what()
    except Exception as error:
        raised = f"{type(error).__module__}.{type(error).__name__}: {error}"
    found = {"raised": raised, "hooks": list(hooks), **_state()}
    connection.close()
    rows = list(Group.objects.values_list("name", flat=True))
    Group.objects.all().delete()
    return {**found, "rows": rows}


def _name(what: Callable[[], None]) -> str:
    return what.__name__


@pytest.mark.parametrize("what", ANYWHERE, ids=_name)
def test_the_block_of_a_task_is_as_django_s(what: Callable[[], None]) -> None:
    assert _outcome(LazyAtomic(connection), what) == _outcome(
        transaction.atomic(), what
    )


@server
@pytest.mark.parametrize("what", ON_A_SERVER, ids=_name)
def test_the_block_of_a_task_is_as_django_s_on_a_server(
    what: Callable[[], None],
) -> None:
    assert _outcome(LazyAtomic(connection), what) == _outcome(
        transaction.atomic(), what
    )


# --- what is there before --------------------------------------------------------------


def test_a_block_within_another_is_a_savepoint() -> None:
    with transaction.atomic():
        with pytest.raises(Unwanted), LazyAtomic(connection):
            writes_and_raises()
        Group.objects.create(name="outside")
    assert list(Group.objects.values_list("name", flat=True)) == ["outside"]


@server
def test_what_has_broken_before_is_told_in_django_s_words() -> None:
    def outcome(block: Any) -> dict[str, Any]:
        connection.close()
        connection.ensure_connection()
        breaks_the_connection()
        with pytest.raises(Exception, match="closed") as caught, block:
            pytest.fail("it has begun")
        found = {"raised": caught.type, **_state()}
        connection.close()
        return found

    assert outcome(LazyAtomic(connection)) == outcome(transaction.atomic())


def test_a_connection_that_is_not_open_yet_is_opened() -> None:
    connection.close()
    with LazyAtomic(connection):
        writes()
    assert Group.objects.count() == 1


@server
def test_django_looks_whether_the_session_is_alive_where_it_is_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapper = connections["default"]
    wrapper.ensure_connection()
    monkeypatch.setattr(wrapper, "health_check_enabled", True)
    monkeypatch.setattr(wrapper, "health_check_done", False)
    breaks_the_connection()
    with LazyAtomic(connection):
        writes()
    assert Group.objects.count() == 1


@server
def test_begin_and_commit_are_logged_where_queries_are() -> None:
    with CaptureQueriesContext(connection) as log, LazyAtomic(connection):
        writes()
    statements = [query["sql"].split()[0] for query in log.captured_queries]
    assert statements == ["BEGIN", "INSERT", "COMMIT"]


@server
def test_a_task_that_asks_for_nothing_begins_and_commits_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapper = connections["default"]
    wrapper.ensure_connection()
    with monkeypatch.context() as patch:
        patch.setattr(wrapper, "set_autocommit", None)
        patch.setattr(wrapper, "commit", None)
        with LazyAtomic(connection):
            assert connection.in_atomic_block
            assert not connection.connection.autocommit
    assert connection.connection.autocommit


@server
def test_the_driver_begins_when_somebody_wants_anything_of_it() -> None:
    connection.ensure_connection()
    raw = connection.connection
    with LazyAtomic(connection):
        stand_in = connection.connection
        assert isinstance(stand_in, type(raw))
        assert raw.autocommit
        asks_the_driver()
        assert not raw.autocommit
        transaction.set_rollback(True)
    assert connection.connection is raw
    assert raw.autocommit
    assert not Group.objects.exists()
    assert stand_in.autocommit


@server
def test_who_tells_of_the_session_from_another_thread_begins_nothing() -> None:
    connection.ensure_connection()
    raw = connection.connection
    found: list[Any] = []
    with LazyAtomic(connection):
        stand_in = connection.connection

        def tell() -> None:
            found.append(transaction_status(stand_in))
            found.append(stand_in.closed)

        thread = threading.Thread(target=tell)
        thread.start()
        thread.join()
        assert raw.autocommit
        assert connection.connection is stand_in
    assert found == [NONE, raw.closed]


@server
def test_what_prepares_its_statements_does_so_with_the_driver_s_connection() -> None:
    connection.ensure_connection()
    raw = connection.connection
    raises: list[int] = []
    for number in range(2 * PREPARE_FROM_USE):
        with LazyAtomic(connection), prepared.cursor(connection) as cursor:
            assert cursor.connection is raw
            cursor.execute("INSERT INTO auth_group (name) VALUES (%s)", [f"n{number}"])
        raises.append(Group.objects.count())
    assert raises == [*range(1, 2 * PREPARE_FROM_USE + 1)]
