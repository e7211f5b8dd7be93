"""The state of a task as JSON: who gets it, what is in it, and what asking again costs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from cq.models import Task
from cq.status import Status
from cq_admin.task_pages.admin import TaskAdmin

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


def url(row: Any) -> str:
    return f"/admin/cq/task/{getattr(row, 'pk', row)}/live/"


@pytest.fixture
def running(row: Callable[..., Task], say: Callable[..., None]) -> Task:
    made: Task = row(Status.WAITING, progress_done=1.0, progress_total=4.0)
    say(made, 3)
    Task.objects.filter(pk=made.pk).update(log_lines=3)
    return made


def test_it_is_the_task_as_it_is_now(staff: Client, running: Task) -> None:
    answer = staff.get(url(running))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert "no-store" in answer["Cache-Control"]
    state = answer.json()
    assert (state["of"], state["status"]) == (str(running.pk), "WAITING")
    assert state["progress"]["done"] == 1
    assert [line["n"] for line in state["log"]] == [1, 2, 3]
    state = staff.get(url(running), {"after": 2}).json()
    assert [line["n"] for line in state["log"]] == [3]


def test_what_is_known_already_costs_one_query(
    staff: Client, running: Task, queries: Callable[..., list[str]]
) -> None:
    etag = staff.get(url(running), {"after": 3})["ETag"]
    answers: list[Any] = []

    def again() -> None:
        asked = staff.get(
            url(running), {"after": 3}, headers={"If-None-Match": f"W/{etag}"}
        )
        answers.append(asked)

    asked = [sql for sql in queries(again) if "cq_" in sql]
    assert len(asked) == 1
    assert answers[0].status_code == 304
    assert answers[0].content == b""
    Task.objects.filter(pk=running.pk).update(progress_done=2.0)
    again()
    assert answers[1].status_code == 200
    assert answers[1]["ETag"] != etag


@pytest.mark.parametrize("after", ["", "-1", "x", "1.5", "\u0661", "1" * 21, "0x1"])
def test_a_number_that_is_none_is_refused(
    staff: Client, running: Task, after: str
) -> None:
    answer = staff.get(url(running), {"after": after})
    assert answer.status_code == 400
    assert "after" in answer.json()["error"]


def test_a_number_may_be_higher_than_any(staff: Client, running: Task) -> None:
    assert staff.get(url(running), {"after": "9" * 20}).json()["log"] == []


@pytest.mark.parametrize("task_id", [uuid4(), "nonsense", "%00", "..", "a/b"])
def test_what_is_not_there_is_404(staff: Client, task_id: Any) -> None:
    assert staff.get(url(task_id)).status_code == 404


# Who gets it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codenames", "status", "lines"),
    [
        (("view_task",), 200, 0),
        (("view_task", "view_task_log"), 200, 3),
        (("view_task_log",), 403, 0),
        (("view_task_args", "retry_task", "revoke_task"), 403, 0),
        ((), 403, 0),
    ],
)
def test_row_s10_who_gets_it(
    login: Callable[..., Client],
    running: Task,
    codenames: tuple[str, ...],
    status: int,
    lines: int,
) -> None:
    client = login(*codenames)
    answer = client.get(url(running))
    assert answer.status_code == status
    if status == 200:
        assert len(answer.json()["log"]) == lines
    else:
        # The same of a task that is not there.
        assert client.get(url(uuid4())).status_code == 403


def test_nobody_gets_it_who_is_not_logged_in(client: Client, running: Task) -> None:
    answer = client.get(url(running))
    assert answer.status_code == 302
    assert "/login/" in answer["Location"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_can_only_be_read(staff: Client, running: Task, method: str) -> None:
    assert getattr(staff, method)(url(running)).status_code == 405


def test_a_narrowed_admin_shows_no_other_tasks_and_none_of_their_lines(
    staff: Client,
    running: Task,
    row: Callable[..., Task],
    say: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden = row(name="admin.hidden", parent=running, root_id=running.pk)
    say(hidden, 1, root=running)
    Task.objects.filter(pk=running.pk).update(log_lines=4)
    assert len(staff.get(url(running)).json()["log"]) == 4
    whole = TaskAdmin.get_queryset
    monkeypatch.setattr(
        TaskAdmin,
        "get_queryset",
        lambda self, request: whole(self, request).exclude(name="admin.hidden"),
    )
    assert len(staff.get(url(running)).json()["log"]) == 3
    assert staff.get(url(hidden)).status_code == 404


def test_secrets_and_arguments_are_not_in_it(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = "cq_admin_live_redaction.hide"
    import sys
    from types import SimpleNamespace

    module: Any = SimpleNamespace(hide=lambda name, text: text.replace("s3cret", "*"))
    sys.modules["cq_admin_live_redaction"] = module
    made = row(
        Status.FAILURE,
        args='["s3cret"]',
        kwargs='{"password":"s3cret"}',
        result='"s3cret"',
        error="it was s3cret",
        exception="E",
        traceback="s3cret",
        progress_message="s3cret",
    )
    text = staff.get(url(made)).content.decode()
    assert "s3cret" not in text
    assert json.loads(text)["error"] == "E: it was *"


# The page -----------------------------------------------------------------------------


def box(client: Client, row: Task) -> dict[str, str]:
    page = client.get(f"/admin/cq/task/{row.pk}/change/").content.decode()
    found = re.search(r'<p class="cq-live"([^>]*)>', page)
    return dict(re.findall(r'data-(\w+)="([^"]*)"', found[1])) if found else {}


def test_the_page_of_an_open_task_says_where_to_ask(
    staff: Client, running: Task
) -> None:
    found = box(staff, running)
    assert found["url"] == url(running)
    assert found["after"] == "3"
    assert found["socket"] == ""  # no ASGI


def test_that_of_one_that_is_done_has_nothing_to_ask(
    staff: Client, row: Callable[..., Task]
) -> None:
    assert box(staff, row(Status.COMPLETE)) == {}


def test_lines_have_a_place_before_there_are_any(
    login: Callable[..., Client], row: Callable[..., Task]
) -> None:
    made = row(Status.QUEUED)
    client = login("view_task", "view_task_log")
    page = client.get(f"/admin/cq/task/{made.pk}/change/").content.decode()
    assert re.search(r'<section[^>]*aria-labelledby="log" hidden>', page)
