"""What an atomic run calls is written together, and nobody can tell."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sample_tasks
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from driving import claim, run_all

from cq import task
from cq.enqueue import batch
from cq.enqueue import inserts as inserts_module
from cq.execution import sync_runner
from cq.models import Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    seen.clear()


def run(definition: Any, *args: Any) -> Task:
    handle = definition.delay(*args)
    sync_runner.execute(claim(handle))
    handle.refresh_from_db()
    return handle


def inserts(queries: CaptureQueriesContext) -> list[str]:
    return [
        query["sql"]
        for query in queries.captured_queries
        if query["sql"].startswith("INSERT INTO cq_tasks")
    ]


@task("gathered.many")
def many(cqt: Any, count: int) -> None:
    for number in range(count):
        cqt.subtask(sample_tasks.square, number)


def test_subtasks_made_in_a_loop_are_one_insert() -> None:
    handle = many.delay(50)
    claimed = claim(handle)
    with CaptureQueriesContext(connection) as queries:
        sync_runner.execute(claimed)
    assert len(inserts(queries)) == 1
    handle.refresh_from_db()
    assert (handle.status, handle.open_children) == (Status.WAITING, 50)
    assert [t.args for t in handle.subtasks.order_by("id")] == [(n,) for n in range(50)]


def test_no_more_are_held_back_than_one_insert_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "MAX_DRAFTS", 20)
    handle = many.delay(50)
    claimed = claim(handle)
    with CaptureQueriesContext(connection) as queries:
        sync_runner.execute(claimed)
    assert len(inserts(queries)) == 3
    assert handle.subtasks.count() == 50


@task("gathered.counts_hooks")
def counts_hooks(cqt: Any) -> None:
    for _ in range(20):
        cqt.subtask(sample_tasks.square, 1)
    seen.append(len(connection.run_on_commit))


def test_they_have_one_hook_so_that_many_take_little_memory() -> None:
    run(counts_hooks)
    assert seen == [1]


@task("gathered.calls_nothing")
def calls_nothing(cqt: Any) -> None:
    assert list(sample_tasks.square.delay_many([])) == []
    seen.append("went on")


def test_a_run_may_call_none_of_many() -> None:
    assert run(calls_nothing).status == Status.COMPLETE
    assert seen == ["went on"]


@task("gathered.looks")
def looks(cqt: Any) -> None:
    child = cqt.subtask(sample_tasks.square, 1)
    sample_tasks.square.delay(2)
    seen.append(cqt.subtasks.count())
    child.refresh_from_db()
    seen.append(child.status)


def test_the_run_finds_what_it_has_called_whenever_it_looks() -> None:
    run(looks)
    assert seen == [1, Status.QUEUED]
    assert Task.objects.filter(name=sample_tasks.square.name).count() == 2


@task("gathered.savepoint")
def savepoint(cqt: Any) -> None:
    cqt.subtask(sample_tasks.square, 1)
    try:
        with transaction.atomic():
            cqt.subtask(sample_tasks.square, 2)
            raise ValueError
    except ValueError:
        pass
    cqt.subtask(sample_tasks.square, 3)


def test_a_savepoint_takes_along_what_was_called_in_it_alone() -> None:
    handle = run(savepoint)
    assert [t.args for t in handle.subtasks.order_by("id")] == [(1,), (3,)]
    assert (handle.status, handle.open_children) == (Status.WAITING, 2)


@task("gathered.fails")
def fails(cqt: Any) -> None:
    cqt.subtask(sample_tasks.square, 1)
    raise ValueError("no")


def test_a_run_that_fails_leaves_nothing_to_be_written_later() -> None:
    handle = run(fails)
    assert handle.status == Status.FAILURE
    watching = [type(wrapper) for wrapper in connection.execute_wrappers]
    assert batch.InsertBatch not in watching
    run(sample_tasks.square, 2)
    assert not handle.subtasks.exists()


@task("gathered.broken")
def broken(cqt: Any) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
    except DatabaseError:
        pass
    cqt.subtask(sample_tasks.square, 1)
    seen.append("went on")


@pytest.mark.backend("postgres", "valkey", "pgbouncer", "postgres14")
def test_in_a_transaction_that_takes_no_more_a_call_raises_at_once() -> None:
    handle = run(broken)
    assert handle.status == Status.FAILURE
    assert seen == []


@task("gathered.caught")
def caught(cqt: Any) -> None:
    cqt.subtask(sample_tasks.square, 1)
    try:
        with transaction.atomic():
            cqt.subtask(sample_tasks.square, 2)
            with transaction.atomic():
                pass
    except OperationalError:
        seen.append("caught")
    cqt.subtask(sample_tasks.square, 3)


def test_an_insert_that_fails_is_made_up_for_when_the_task_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = caught.delay()
    claimed = claim(handle)
    failing = iter([False, True, False, False])

    def insert(using: str, drafts: list[Any]) -> None:
        if drafts and next(failing):
            raise OperationalError("busy")
        inserts_module.insert(using, drafts)

    monkeypatch.setattr(batch, "insert", insert)
    sync_runner.execute(claimed)
    assert seen == ["caught"]
    assert [t.args for t in handle.subtasks.order_by("id")] == [(1,), (3,)]


@task("gathered.threads")
def threads(cqt: Any) -> None:
    def elsewhere() -> None:
        try:
            sample_tasks.square.delay(5)
        finally:
            connection.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()


def test_a_thread_of_the_task_writes_by_itself() -> None:
    # It has no transaction, and SQLite no lock that it would wait for.
    run(threads)
    assert Task.objects.filter(name=sample_tasks.square.name).count() == 1


@task("gathered.returns")
def returns(cqt: Any) -> Any:
    return cqt.subtask(sample_tasks.square, 7)


def test_a_handle_that_is_returned_is_there() -> None:
    handle = run(returns)
    assert handle.status == Status.WAITING
    run_all()
    handle.refresh_from_db()
    assert (handle.status, handle.result) == (Status.COMPLETE, 49)
