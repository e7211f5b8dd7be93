"""The encoded columns of a task through all that Django does with a model."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from floor import mistakes, tasks

from cq import CodecError, group
from cq.codec import Encoded
from cq.models import Edge, Task, TaskLog
from cq.testing import run_tasks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db

VALUE = {"a": (1, 2)}
ENCODED = ("args", "kwargs", "result")


def echoed(value: Any = VALUE) -> Task:
    made = mistakes.echo.delay(value)
    run_tasks()
    return Task.objects.get(pk=made.pk)


def stored(task: Task) -> dict[str, Any]:
    return Task.objects.filter(pk=task.pk).values().get()


def break_args(task: Task) -> Task:
    Task.objects.filter(pk=task.pk).update(args=Encoded("[1,"))
    return Task.objects.get(pk=task.pk)


# Cleaning -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [VALUE, "OK", None, 1.5, (1, 2)])
def test_a_clean_row_is_saved_as_it_was(value: Any) -> None:
    row = echoed(value)
    before = stored(row)
    row.full_clean()
    row.save()
    assert stored(row) == before


def test_a_row_that_cannot_be_read_can_be_cleaned() -> None:
    break_args(echoed()).full_clean()


def test_a_row_to_be_can_be_looked_at_and_cleaned() -> None:
    row = Task(name="shop.tasks.report")
    assert (row.args, row.kwargs, row.result) == ((), {}, None)
    row.clean_fields(exclude=["root", "submitted"])


# Refreshing ---------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.django_db(transaction=True)
def test_a_refreshed_row_is_saved_as_it_was(is_async: bool) -> None:
    square = tasks.square.delay(3)
    depends = tasks.total.delay([square, square])
    several = group([tasks.square.s(1), tasks.square.s(2)]).delay()
    plain = mistakes.echo.delay(VALUE)
    run_tasks()
    for row in (depends, several, plain):
        before = stored(row)
        async_to_sync(row.arefresh_from_db)() if is_async else row.refresh_from_db()
        row.save()
        assert stored(row) == before
    assert (depends.result, several.result, plain.result) == (18, [1, 4], VALUE)


def test_waiting_costs_no_look_at_what_it_depends_on_or_is_made_of() -> None:
    square = tasks.square.delay(3)
    depends = tasks.total.delay([square, square])
    several = group([tasks.square.s(1), tasks.square.s(2)]).delay()
    run_tasks()
    for row in (depends, several):
        with CaptureQueriesContext(connection) as queries:
            row.refresh_from_db()
        assert len(queries) == 1


def test_a_broken_column_stops_only_who_looks_at_it() -> None:
    row = break_args(echoed())
    row.refresh_from_db()
    assert row.wait(0) is row
    assert (row.status, row.result, row.get(0)) == ("COMPLETE", VALUE, VALUE)
    with pytest.raises(CodecError):
        _ = row.args
    assert row.retry().status == "QUEUED"
    assert row.revoke() is True
    assert row.status == "REVOKED"


def test_a_column_that_was_left_out_is_read_as_it_is_stored() -> None:
    row = echoed()
    before = stored(row)
    late = Task.objects.defer(*ENCODED).get(pk=row.pk)
    assert (late.args, late.kwargs, late.result) == ((VALUE,), {}, VALUE)
    late.save()
    assert stored(row) == before


# Fixtures -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "jsonl", "xml", "python"])
def test_dumped_and_loaded_it_is_the_same(form: str) -> None:
    several = group([tasks.square.s(1), tasks.square.s(2)]).delay()
    rows = [echoed(), echoed("OK"), echoed(["\x00\ud800"]), several]
    before = [[stored(row)[name] for name in ENCODED] for row in rows]
    text = serializers.serialize(form, Task.objects.all())
    Task.objects.all().delete()
    for loaded in serializers.deserialize(form, text):
        loaded.save()
    assert [[stored(row)[name] for name in ENCODED] for row in rows] == before
    assert Task.objects.get(pk=rows[1].pk).result == "OK"


def test_dumpdata_and_loaddata_lose_nothing(tmp_path: Path) -> None:
    broken = break_args(echoed())
    waits = mistakes.echo.delay(VALUE)
    fixture = tmp_path / "tasks.json"
    call_command("dumpdata", "cq", output=str(fixture))
    for model in (Task, TaskLog, Edge):
        model.objects.all().delete()
    call_command("loaddata", str(fixture), verbosity=0)
    assert stored(broken)["args"] == "[1,"
    run_tasks()
    waits.refresh_from_db()
    assert (waits.status, waits.result) == ("COMPLETE", VALUE)


def test_what_was_assigned_is_dumped_as_it_would_be_stored() -> None:
    row = echoed()
    row.kwargs = {"value": (1, 2)}
    (dumped,) = serializers.serialize("python", [row])
    assert dumped["fields"]["kwargs"] == '{"value":{"$":"tuple","v":[1,2]}}'


# Assigning, copying, deleting ---------------------------------------------------------


def test_arguments_that_were_assigned_as_they_are_read_can_be_run() -> None:
    row = mistakes.echo.delay(1)
    row.args = (*row.args[:0], 2)
    row.save()
    assert Task.objects.get(pk=row.pk).args == (2,)
    run_tasks()
    row.refresh_from_db()
    assert (row.status, row.result) == ("COMPLETE", 2)


def test_a_task_can_be_copied_while_it_runs() -> None:
    tasks_copied = []

    from cq import task

    @task("model.copies itself")
    def copies_itself(cqt: Any) -> str:
        other = copy.deepcopy(cqt)
        tasks_copied.append(other == cqt)
        return "OK"

    handle = copies_itself.delay()
    run_tasks()
    handle.refresh_from_db()
    assert (handle.error, handle.status) == (None, "COMPLETE")
    assert tasks_copied == [True]
