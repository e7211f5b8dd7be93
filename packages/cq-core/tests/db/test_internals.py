"""What cq uses of Django without its documentation's promise: a new Django fails here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import EmptyResultSet
from django.db import connection, models, transaction
from django.test import override_settings
from forced import forced
from referring import referring

from cq.db import internals
from cq.db.lazy_atomic import LazyAtomic
from cq.models import Task, Worker
from cq.status import Status
from cq.tables.queries import workers
from cq.tables.rows import EncodedRow

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def worker(pk: int) -> Worker:
    now = "2026-01-02T03:04:05Z"
    row = Worker(id=pk, kind="run", host="here", pid=1, started=now, last_seen=now)
    row.save()
    return row


def test_depth_counts_atomic_blocks() -> None:
    assert internals.depth(connection) == 0
    with transaction.atomic(), transaction.atomic(savepoint=False):
        assert internals.depth(connection) == 2
    assert internals.depth(connection) == 0


def test_roll_back_innermost_undoes_a_block_that_was_left_open() -> None:
    with transaction.atomic():
        worker(1)
        transaction.atomic().__enter__()
        worker(2)
        internals.roll_back_innermost(connection)
        assert internals.depth(connection) == 1

    assert list(workers("default").values_list("pk", flat=True)) == [1]


def test_savepoints_tell_one_from_another() -> None:
    with transaction.atomic():
        outside = internals.savepoints(connection)
        with transaction.atomic():
            first = internals.savepoints(connection)
        with transaction.atomic():
            second = internals.savepoints(connection)

    assert outside == ()
    assert len({first, second, outside}) == 3


@pytest.mark.parametrize(
    "spoil", [lambda: transaction.set_rollback(True), connection.close]
)
def test_can_only_roll_back_knows_a_spoilt_transaction(
    spoil: Callable[[], object],
) -> None:
    with transaction.atomic():
        assert not internals.can_only_roll_back(connection)
        spoil()
        assert internals.can_only_roll_back(connection)
        transaction.set_rollback(True)


def test_blocks_are_those_that_are_open_the_innermost_last() -> None:
    assert internals.innermost_block(connection) is None
    with transaction.atomic() as _, LazyAtomic(connection):
        assert internals.blocks(connection)[-1] is internals.innermost_block(connection)
        assert len(internals.blocks(connection)) == 2
        assert isinstance(internals.innermost_block(connection), LazyAtomic)


def test_commit_hooks_are_the_functions_of_this_transaction() -> None:
    def hook() -> None: ...

    with transaction.atomic():
        assert not internals.has_commit_hooks(connection)
        transaction.on_commit(hook)
        transaction.on_commit(hook, robust=True)
        assert internals.has_commit_hooks(connection)
        assert list(internals.commit_hooks(connection)) == [hook, hook]


def test_forget_transaction_lets_a_connection_be_closed_and_used_again() -> None:
    transaction.atomic().__enter__()
    worker(1)
    internals.forget_transaction(connection)
    connection.close()

    assert internals.depth(connection) == 0
    assert not connection.in_atomic_block
    assert not workers("default").exists()


def test_watch_statements_sees_each_one_and_can_stop() -> None:
    seen: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    connection.ensure_connection()  # what sets up a session is none of it
    internals.watch_statements(connection, watch)
    assert watch in connection.execute_wrappers
    with connection.execute_wrapper(lambda run, *args: run(*args)):
        workers("default").exists()
    internals.stop_watching(connection, watch)
    workers("default").exists()

    assert len(seen) == 1
    assert watch not in connection.execute_wrappers


def test_cursor_of_is_logged_and_watched_as_djangos_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    connection.ensure_connection()
    raw = connection.create_cursor()
    connection.force_debug_cursor = True
    try:
        with (
            caplog.at_level(logging.DEBUG, "django.db.backends"),
            connection.execute_wrapper(watch),
            internals.cursor_of(connection, raw) as cursor,
        ):
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
    finally:
        connection.force_debug_cursor = False

    assert seen == ["SELECT 1"]
    assert "SELECT 1" in caplog.text


def test_delete_rows_sends_one_statement_and_no_signal(
    django_assert_num_queries: Any,
) -> None:
    worker(1)
    worker(2)
    deleted: list[Any] = []

    def note(instance: Any, **kwargs: Any) -> None:
        deleted.append(instance)

    models.signals.post_delete.connect(note, sender=Worker)
    try:
        with django_assert_num_queries(1):
            internals.delete_rows(workers("default").filter(pk__gt=1))
    finally:
        models.signals.post_delete.disconnect(note, sender=Worker)

    assert deleted == []
    assert workers("default").count() == 1


def test_a_referrer_collector_reads_no_rows_of_the_app_itself() -> None:
    with referring(
        models.ForeignKey("cq.Task", models.SET_NULL, null=True, related_name="+")
    ) as (Export,):
        parent = forced(Status.COMPLETE)
        child = forced(Status.COMPLETE, parent)
        export = Export.objects.create(row=parent)
        collector = internals.ReferrerCollector("default", "cq")
        collector.collect(Task.objects.filter(pk=parent.pk))

        collector.delete()

        export.refresh_from_db()
        assert export.row_id is None
        assert list(Task.objects.all()) == [child]


def test_select_sql_is_the_select_of_those_rows() -> None:
    worker(1)
    worker(2)
    rows = workers("default").filter(pk=2).values_list(models.F("pid"), models.F("pk"))
    sql, params = internals.select_sql(rows)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        assert list(cursor.fetchall()) == [(1, 2)]
    with pytest.raises(EmptyResultSet):
        internals.select_sql(rows.filter(pk__in=[]))


def test_update_sql_is_the_update_of_those_rows() -> None:
    worker(1)
    worker(2)
    sql, params = internals.update_sql(
        workers("default").filter(pk=2), {"host": "there"}
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, params)

    assert list(workers("default").order_by("pk").values_list("host", flat=True)) == [
        "here",
        "there",
    ]


def test_had_errors_is_told_after_one() -> None:
    assert not internals.had_errors(connection)
    with pytest.raises(Exception, match="cq_no_such_table"):
        connection.cursor().execute("SELECT * FROM cq_no_such_table")

    assert internals.had_errors(connection)
    connection.close_if_unusable_or_obsolete()
    assert not internals.had_errors(connection)


@pytest.mark.backend("sqlite")
def test_set_transaction_mode_decides_how_sqlite_begins() -> None:
    seen: list[str] = []
    connection.ensure_connection()
    before = internals.set_transaction_mode(connection, "IMMEDIATE")
    try:
        connection.connection.set_trace_callback(seen.append)
        with transaction.atomic():
            pass
    finally:
        connection.connection.set_trace_callback(None)
        assert internals.set_transaction_mode(connection, before) == "IMMEDIATE"

    assert seen[0] == "BEGIN IMMEDIATE"


def test_a_lazy_block_is_one_of_djangos() -> None:
    with LazyAtomic(connection) as block:
        assert block is None
        assert internals.depth(connection) == 1
        worker(1)

    assert workers("default").count() == 1


def test_a_model_saves_its_table_by_the_method_that_cq_overrides() -> None:
    # Fixtures come by it as well: what is encoded is to be written as it stands.
    assert callable(getattr(models.Model, "_save_table", None))
    assert Task._save_table is EncodedRow._save_table  # type: ignore[attr-defined]


def test_app_configs_are_others_while_other_apps_are_installed() -> None:
    before = internals.app_configs()
    assert "cq" in before
    with override_settings(INSTALLED_APPS=["django.contrib.contenttypes"]):
        assert internals.app_configs() is not before
        assert "cq" not in internals.app_configs()
    assert internals.app_configs() is before
