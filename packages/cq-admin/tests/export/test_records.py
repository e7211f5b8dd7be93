"""What an export says of a task, as a line and as a row of a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from exported import URL, lines, table, text_of

from cq import task
from cq.models import Tag, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


PLAIN = [
    "id",
    "name",
    "queue",
    "status",
    "priority",
    "attempts",
    "submitted",
    "ready",
    "started",
    "finished",
    "run_after",
    "parent",
    "root",
    "tags",
    "exception",
    "error",
]


@task("export.pay", redact=("card",))
def pay(cqt: Any, who: str, card: str = "") -> None: ...


def test_a_task_is_a_line_with_all_that_there_is_to_say(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(Status.INCOMPLETE, name="root")
    child = row(
        Status.FAILURE,
        name="export.pay",
        queue="mail",
        priority=-5,
        attempts=3,
        parent=root,
        root=root,
        args='["ann","4111"]',
        kwargs='{"n":{"$":"uuid","v":"0a"}}',
        result='"done"',
        exception="shop.Late",
        error="too late\nby far",
    )
    for tag in ("order:4711", "eu"):
        Tag.objects.create(task=child, tag=tag)

    found, above = lines(staff)

    assert list(found) == [*PLAIN, "args", "kwargs", "result"]
    assert found["id"] == str(child.pk)
    assert found["submitted"] == child.submitted.isoformat()
    assert found["submitted"].endswith("+00:00")
    assert found["run_after"] is None
    assert (found["parent"], found["root"]) == (str(root.pk), str(root.pk))
    assert (found["priority"], found["attempts"]) == (-5, 3)
    assert (found["status"], found["queue"]) == ("FAILURE", "mail")
    assert found["tags"] == ["eu", "order:4711"]
    assert (found["exception"], found["error"]) == ("shop.Late", "too late\nby far")
    assert found["args"] == ["ann", "********"]
    assert found["kwargs"] == {"n": {"$": "uuid", "v": "0a"}}
    assert found["result"] == "done"
    assert (above["parent"], above["root"]) == (None, str(root.pk))
    assert (above["tags"], above["error"], above["result"]) == ([], None, None)


def test_a_table_has_the_same_in_its_cells(
    staff: Client, row: Callable[..., Task]
) -> None:
    made = row(
        name="export.pay",
        priority=-5,
        args='["Zo\\u00eb, \\"Z\\""]',
        error="a\nb",
        result="3",
    )
    Tag.objects.create(task=made, tag="order:4711")

    [found] = table(staff)

    assert list(found) == [*PLAIN, "args", "kwargs", "result"]
    assert found["id"] == str(made.pk)
    assert found["priority"] == "-5"
    assert found["tags"] == '["order:4711"]'
    assert json.loads(found["args"]) == ['Zoë, "Z"']
    assert "Zoë" in found["args"]
    assert (found["error"], found["result"]) == ("a\nb", "3")
    assert (found["run_after"], found["exception"]) == ("", "")


def test_it_is_a_file_that_nobody_keeps(staff: Client) -> None:
    for kind, content in {
        "csv": "text/csv; charset=utf-8",
        "ndjson": "application/x-ndjson",
    }.items():
        answer = staff.get(f"{URL}export/{kind}/")
        assert answer["Content-Type"] == content
        assert answer["Content-Disposition"].startswith('attachment; filename="tasks-')
        assert answer["Content-Disposition"].endswith(f'.{kind}"')
        assert "no-store" in answer["Cache-Control"]
        assert answer["X-Content-Type-Options"] == "nosniff"
    assert text_of(staff, "ndjson") == ""
    assert text_of(staff, "csv") == f"{','.join([*PLAIN, 'args,kwargs,result'])}\r\n"


def test_what_is_large_is_named_with_the_place_where_it_is(
    staff: Client, row: Callable[..., Task]
) -> None:
    large = json.dumps(["x" * 10_000])
    made = row(name="export.pay", args=large, result=large, error="e" * 9_000)

    [found] = lines(staff)

    page = f"http://testserver{URL}{made.pk}"
    assert found["args"] == f"[more than 10,000 characters, which are at {page}/args/]"
    assert found["result"].endswith(f"{page}/result/]")
    assert staff.get(f"{page}/args/").json()["args"] == ["x" * 10_000]
    assert found["kwargs"] == {}
    assert len(found["error"]) == 4_000
    assert found["error"].endswith("...")


@pytest.mark.parametrize("stored", ["", "{", "[" * 5_000])
def test_what_cannot_be_read_is_not_shown(
    staff: Client, row: Callable[..., Task], stored: str
) -> None:
    row(args=stored, kwargs=stored, result=stored)
    [found] = lines(staff)
    for name in ("args", "kwargs", "result"):
        assert "cannot be read" in found[name]
    assert "cannot be read" in table(staff)[0]["args"]
