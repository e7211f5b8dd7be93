"""The values of a task as JSON: whole, redacted, and for who may see them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cq import task
from cq.display.redaction import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from cq.models import Task

pytestmark = pytest.mark.django_db


@task("value_pages.log_in")
def log_in(cqt: Any, user: str, password: str) -> None: ...


def url(row: Any, name: str) -> str:
    return f"/admin/cq/task/{row.pk}/{name}/"


def test_they_are_whole_and_what_is_secret_is_hidden(
    staff: Client, row: Callable[..., Task]
) -> None:
    big = "x" * 1_000_000
    found = row(
        name="value_pages.log_in",
        args=json.dumps([big, "tell"]),
        kwargs='{"api_token":"tell","n":[1,{"$":"uuid","v":"0a"}]}',
        result='{"token":"tell","rows":3}',
    )
    answer = staff.get(url(found, "args"))
    assert answer["Content-Type"] == "application/json"
    assert "no-store" in answer["Cache-Control"]
    shown = answer.json()
    assert shown["args"] == [big, HIDDEN]
    assert shown["kwargs"] == {"api_token": HIDDEN, "n": [1, {"$": "uuid", "v": "0a"}]}
    assert staff.get(url(found, "result")).json()["result"] == {
        "token": HIDDEN,
        "rows": 3,
    }
    assert "tell" not in answer.content.decode()


@pytest.mark.parametrize("stored", ["", "{", "[" * 5_000])
def test_what_cannot_be_read_is_not_shown(
    staff: Client, row: Callable[..., Task], stored: str
) -> None:
    found = row(args=stored, kwargs=stored, result=stored)
    assert "cannot be read" in staff.get(url(found, "args")).json()["args"]
    assert "cannot be read" in staff.get(url(found, "result")).json()["result"]


def test_what_has_no_result_has_null(staff: Client, row: Callable[..., Task]) -> None:
    assert staff.get(url(row(), "result")).json()["result"] is None


def test_they_are_for_who_may_see_them(
    client: Client, login: Callable[..., Client], row: Callable[..., Task]
) -> None:
    found = row(args='["ann"]')
    assert client.get(url(found, "args")).status_code == 302
    client = login("view_task", "view_task_log")
    for name in ("args", "result"):
        assert client.get(url(found, name)).status_code == 403
        missing = f"/admin/cq/task/{found.pk.hex[::-1]}/{name}/"
        assert client.get(missing).status_code == 403


def test_they_are_only_read(
    login: Callable[..., Client], row: Callable[..., Task]
) -> None:
    client = login("view_task", "view_task_args")
    found = row(args='["ann"]')
    assert client.get(url(found, "args")).json()["args"] == ["ann"]
    assert client.post(url(found, "args")).status_code == 405
    assert client.get("/admin/cq/task/nonsense/args/").status_code == 404


def test_the_page_reads_the_beginning_of_large_ones_and_leads_to_the_whole(
    staff: Client, row: Callable[..., Task]
) -> None:
    numbers = ", ".join(["1234567"] * 120_000)
    found = row(
        name="value_pages.log_in",
        args=f'["ann", "tell", [{numbers}]]',
        kwargs='{"a": 1}',
        result=f"[{numbers}]",
    )
    text = staff.get(f"/admin/cq/task/{found.pk}/change/").content.decode()
    assert "ann" in text
    assert HIDDEN in text
    assert "tell" not in text
    assert "characters are stored]" in text
    assert len(text) < 100_000
    for name in ("args", "result"):
        assert url(found, name) in text
