"""Hot statements are prepared on a session that is ours alone, and on no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.db import connection, transaction
from driving import claim

from cq import lifecycle
from cq.db import poolers, prepared
from cq.lifecycle import Claim
from cq.models import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

postgresql = pytest.mark.backend("postgres", "valkey")


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture(autouse=True)
def _own_session() -> Iterator[None]:
    connection.close()
    yield
    connection.close()


def statements() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [text for (text,) in cursor.fetchall()]


def enqueue(times: int = 1) -> list[Task]:
    return [sample_tasks.square.delay(number) for number in range(times)]


def complete(task: Task) -> None:
    task = claim(task)
    assert task.worker_id is not None
    held = Claim(task.pk, task.fence, task.worker_id)
    assert lifecycle.complete("default", held, "1") == Task.STATUS_COMPLETE


@postgresql
@pytest.mark.direct
def test_a_session_that_is_used_prepares_what_cq_executes() -> None:
    for task in enqueue(2 * prepared.PREPARE_FROM_USE):
        complete(task)
    assert {text.split()[0] for text in statements()} == {"INSERT", "UPDATE"}
    assert (
        Task.objects.filter(status=Task.STATUS_COMPLETE).count()
        == 2 * prepared.PREPARE_FROM_USE
    )


@postgresql
def test_one_that_is_hardly_used_does_not() -> None:
    enqueue(prepared.PREPARE_FROM_USE - 1)
    assert not statements()


@postgresql
@pytest.mark.direct
def test_nothing_of_the_project_is_prepared() -> None:
    enqueue(2 * prepared.PREPARE_FROM_USE)
    for _ in range(20):
        Task.objects.filter(pk=None).exists()
        Task.objects.filter(name="x").first()
    assert all(text.startswith("INSERT INTO cq_tasks") for text in statements())
    assert connection.connection.prepare_threshold is None


@postgresql
@pytest.mark.direct
def test_what_was_rolled_back_is_prepared_anew() -> None:
    enqueue(2 * prepared.PREPARE_FROM_USE)
    for number in range(3):
        with transaction.atomic():
            enqueue(2)
            transaction.set_rollback(True)
        enqueue(1)
        assert Task.objects.count() == 2 * prepared.PREPARE_FROM_USE + number + 1


@postgresql
@pytest.mark.direct
def test_a_migration_beside_it_does_no_harm() -> None:
    enqueue(2 * prepared.PREPARE_FROM_USE)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE cq_tasks ADD COLUMN one_more integer")
        enqueue(3)
        cursor.execute("ALTER TABLE cq_tasks DROP COLUMN one_more")
    for task in enqueue(3):
        complete(task)


@postgresql
@pytest.mark.direct
def test_it_is_planned_anew_now_and_then_and_few_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepared, "RENEWED_AFTER", 2)
    enqueue(prepared.PREPARE_FROM_USE + 2 * prepared.MAX_PREPARED + 10)
    assert 2 < len(statements()) <= prepared.MAX_PREPARED


@postgresql
def test_an_error_is_that_of_django(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import IntegrityError

    first, *_ = enqueue(2 * prepared.PREPARE_FROM_USE)
    with pytest.raises(IntegrityError), prepared.cursor(connection) as cursor:
        cursor.execute("INSERT INTO cq_tasks (id) VALUES (%s)", [first.pk])
    assert enqueue(1)


@postgresql
@pytest.mark.parametrize("told", [True, False])
def test_behind_a_pooler_nothing_is_prepared(
    monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    asked = []

    def is_behind(cursor: Any) -> bool:
        asked.append(cursor)
        return True

    monkeypatch.setattr(poolers, "is_told_of", lambda using: told)
    monkeypatch.setattr(poolers, "is_behind", is_behind)
    enqueue(4 * prepared.PREPARE_FROM_USE)
    assert not statements()
    assert len(asked) == (0 if told else 1)


@pytest.mark.backend("pgbouncer")
def test_behind_pgbouncer_nothing_is_prepared() -> None:
    enqueue(4 * prepared.PREPARE_FROM_USE)
    assert not statements()


@postgresql
def test_a_project_that_prepares_by_itself_keeps_its_own_limits() -> None:
    connection.ensure_connection()
    connection.connection.prepare_threshold = 3
    enqueue(2 * prepared.PREPARE_FROM_USE)
    assert connection.connection.prepare_threshold == 3
    assert not statements()


@postgresql
@pytest.mark.direct
def test_the_debug_log_has_them_too(settings: Any) -> None:
    settings.DEBUG = True
    enqueue(2 * prepared.PREPARE_FROM_USE)
    logged = [q["sql"] for q in connection.queries if q["sql"].startswith("INSERT")]
    assert len(logged) == 2 * prepared.PREPARE_FROM_USE
    assert all("sample_tasks.square" in sql and "%s" not in sql for sql in logged)
    connection.queries_log.clear()


def test_elsewhere_it_is_a_cursor_like_any_other() -> None:
    for task in enqueue(2 * prepared.PREPARE_FROM_USE):
        complete(task)
    assert (
        Task.objects.filter(status=Task.STATUS_COMPLETE).count()
        == 2 * prepared.PREPARE_FROM_USE
    )
