"""A task is a row, and behaves as the rows of Django's models do."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from floor import mistakes, tasks
from processes import PATIENCE, until

from cq import group
from cq.codec import Encoded
from cq.ids import uuid7
from cq.models import Edge, Task, TaskLog
from cq.testing import run_tasks

if TYPE_CHECKING:
    from processes import Workers

pytestmark = pytest.mark.django_db

VALUE = {"a": (1, 2)}


def echoed(value: Any = VALUE) -> Task:
    """A task that has given its argument back, as it stands in the table."""
    made = mistakes.echo.delay(value)
    run_tasks()
    return Task.objects.get(pk=made.pk)


# What the first README looks at -------------------------------------------------------


def test_a_tree_is_seen_from_everywhere_while_a_worker_runs_it(
    workers: Workers,
) -> None:
    with transaction.atomic():
        parent = tasks.has_one_that_fails.delay()
        after = parent.chain(tasks.notes, 1, when="settled")
    worker = workers.start("--queues", "default")
    until(Task.objects.filter(status=Task.STATUS_WAITING).exists, "the parent to wait")
    assert Task.objects.get(status=Task.STATUS_WAITING) == parent

    row = Task.objects.get(pk=parent.pk)
    (child,) = row.subtasks.all()
    assert (child.parent, child.root, child.queue) == (row, row, "slow")
    assert (row.parent, row.root, row.previous) == (None, row, None)
    assert Task.objects.get(pk=after.pk).previous == row
    assert list(parent.subtasks.filter(status=Task.STATUS_QUEUED)) == [child]

    assert worker.terminate() == 0
    workers.start()
    assert after.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert parent.wait(PATIENCE).status == Task.STATUS_INCOMPLETE
    # That of the top-level task has all lines, that of a subtask its own.
    assert parent.format_logs() == "one is started\nabout to fail"
    assert child.format_logs() == "about to fail"
    assert [line.task for line in parent.logs] == [parent, child]
    assert after.format_logs() == ""


# Reading ------------------------------------------------------------------------------


def test_columns_that_were_left_out_are_read_when_looked_at() -> None:
    pk = echoed().pk
    for rows in (
        Task.objects.only("name"),
        Task.objects.defer("args", "kwargs", "result"),
    ):
        row = rows.get(pk=pk)
        assert row.get_deferred_fields() >= {"args", "kwargs", "result"}
        assert repr(row).startswith("<Task floor.mistakes.echo")
        assert (row.args, row.kwargs, row.result) == ((VALUE,), {}, VALUE)


def test_a_list_of_tasks_is_one_query_and_decodes_nothing() -> None:
    for _ in range(3):
        echoed()
    Task.objects.update(args=Encoded("[1,"))
    with CaptureQueriesContext(connection) as queries:
        for row in Task.objects.select_related("root", "parent", "previous", "worker"):
            assert (row.root, row.parent, row.previous) == (row, None, None)
            assert str(row) == f"floor.mistakes.echo {row.pk}"
            assert repr(row) == f"<Task {row} COMPLETE>"
    assert len(queries) == 1


def test_subtasks_can_be_prefetched() -> None:
    parent = tasks.send_emails.delay(["a", "b"])
    run_tasks()
    with CaptureQueriesContext(connection) as queries:
        (row,) = Task.objects.filter(pk=parent.pk).prefetch_related("subtasks")
        assert {t.args for t in row.subtasks.all()} == {("a",), ("b",)}
    assert len(queries) == 2


def test_values_are_as_they_are_stored() -> None:
    pk = echoed().pk
    stored = '{"a":{"$":"tuple","v":[1,2]}}'
    rows = Task.objects.filter(pk=pk)
    assert rows.values("args", "kwargs", "result").get() == {
        "args": f"[{stored}]",
        "kwargs": "{}",
        "result": stored,
    }
    assert rows.filter(result=VALUE, args__contains='"a"', error=None).exists()


def test_equality_and_hash_go_by_the_primary_key() -> None:
    handle = mistakes.echo.delay(1)
    row = Task.objects.get(pk=handle.pk)
    assert row == handle
    assert {row: 1}[handle] == 1
    assert row != mistakes.echo.delay(1)
    assert Task.objects.get(pk=str(handle.pk)) == handle
    assert Task.objects.in_bulk([handle.pk]) == {handle.pk: handle}
    with pytest.raises(Task.DoesNotExist):
        Task.objects.get(pk=uuid7())


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_copies_are_tasks(copied: Any) -> None:
    handle = mistakes.echo.delay(VALUE)
    for one in (handle, echoed()):
        other = copied(one)
        assert other == one
        assert (other.args, other.status) == (one.args, one.status)
        other.refresh_from_db()
        assert other.result == VALUE


def test_a_copy_does_not_share_the_value_that_was_read() -> None:
    row = echoed([1])
    row.args[0].append(2)
    row.result.append(2)
    assert (row.args, row.result) == (([1],), [1])


# Refreshing and saving ----------------------------------------------------------------


def test_some_columns_are_refreshed_and_no_others() -> None:
    handle = mistakes.echo.delay(VALUE)
    run_tasks()
    Task.objects.update(queue="other")
    handle.refresh_from_db(fields=["status"])
    assert (handle.status, handle.queue) == (Task.STATUS_COMPLETE, "default")
    assert handle.result is None
    handle.refresh_from_db(fields=["result"])
    assert handle.result == VALUE


def test_a_broken_column_stops_only_who_looks_at_it() -> None:
    handle = mistakes.echo.delay(VALUE)
    Task.objects.update(args=Encoded("[1,"))
    row = Task.objects.get(pk=handle.pk)
    with pytest.raises(ValueError, match="stored text cannot be read"):
        _ = row.args
    row.refresh_from_db(fields=["status", "queue"])
    row.save()
    assert (
        json.loads(serializers.serialize("json", [row]))[0]["fields"]["args"] == "[1,"
    )
    run_tasks()
    row.refresh_from_db(fields=["status", "error"])
    assert row.status == Task.STATUS_FAILURE
    assert "stored text cannot be read" in row.error


def test_saving_what_was_read_changes_nothing() -> None:
    for row in (echoed(), echoed(None), group([tasks.square.s(2)]).delay()):
        before = Task.objects.filter(pk=row.pk).values().get()
        read = Task.objects.get(pk=row.pk)
        assert (read.args, read.result) == (row.args, row.result)
        read.save()
        assert Task.objects.filter(pk=row.pk).values().get() == before


def test_saving_over_what_a_worker_wrote_is_refused() -> None:
    stale = tasks.square.delay(2)
    run_tasks()
    done = Task.objects.filter(pk=stale.pk).values().get()
    for save in (stale.save, lambda: async_to_sync(stale.asave)()):
        with pytest.raises(RuntimeError, match=r"another .*status.*Call revoke\(\)"):
            save()
    mine = Task.objects.get(pk=stale.pk)
    mine.status = Task.STATUS_FAILURE
    for options in ({}, {"update_fields": ["status"]}, {"force_update": True}):
        with pytest.raises(RuntimeError, match="its row has another status, "):
            mine.save(**options)
    # Of others it may say what it likes.
    mine.save(update_fields=["queue", "root_id"])
    with pytest.raises(RuntimeError, match="another priority, "):
        Task.objects.update_or_create({"priority": 3}, pk=stale.pk)
    assert Task.objects.filter(pk=stale.pk).values().get() == done
    # What is gone is made again.
    read = Task.objects.get(pk=stale.pk)
    read.delete()
    read.pk = stale.pk
    read.save()
    assert Task.objects.filter(pk=stale.pk).values().get() == done


def test_cleaning_refuses_what_no_column_takes() -> None:
    row = echoed()
    row.priority, row.queue = "high", "q" * 101
    with pytest.raises(ValidationError) as caught:
        row.clean_fields()
    assert set(caught.value.message_dict) == {"priority", "queue"}


def test_constraints_hold_what_belongs_together() -> None:
    row = echoed()
    row.priority = 101
    with pytest.raises(ValidationError, match="cq_priority_range"):
        row.validate_constraints()


def test_dumped_columns_are_the_stored_text() -> None:
    row = echoed()
    (dumped,) = json.loads(serializers.serialize("json", [row]))
    assert dumped["model"] == "cq.task"
    assert dumped["pk"] == str(row.pk)
    assert dumped["fields"]["args"] == '[{"a":{"$":"tuple","v":[1,2]}}]'
    assert dumped["fields"]["root"] == str(row.pk)


def test_log_lines_and_edges_are_dumped_and_loaded() -> None:
    first = tasks.fails.delay()
    first.chain(tasks.noop)
    run_tasks()
    for model in (TaskLog, Edge):
        before = list(model.objects.values())
        assert before
        text = serializers.serialize("json", model.objects.all())
        model.objects.all().delete()
        for loaded in serializers.deserialize("json", text):
            loaded.save()
        for old, new in zip(before, model.objects.values(), strict=True):
            assert {**old, "time": None} == {**new, "time": None}


# Deleting -----------------------------------------------------------------------------


def test_a_deleted_task_is_gone_for_those_who_waited_for_it() -> None:
    first = tasks.noop.delay()
    after = first.chain(tasks.noop)
    first.delete()
    run_tasks()
    after.refresh_from_db()
    assert after.status == Task.STATUS_INCOMPLETE
    assert "deleted" in after.error
