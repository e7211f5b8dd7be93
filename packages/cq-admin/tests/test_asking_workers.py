"""What may be asked of a worker by its page, by whom, and what comes of it."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from cq.models import Worker
from cq.tables.worker_rows import Request
from cq.workers import requests

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

URL = "/admin/cq/worker/1/"
VERBS = ("quiet", "restart")


def worker(silent: float = 0, answers: Any = tuple(Request), **columns: Any) -> Worker:
    now = timezone.now()
    return Worker.objects.create(
        id=1,
        kind="worker",
        host="web<1>",
        pid=101,
        slots=4,
        started=now - timedelta(hours=2),
        last_seen=now - timedelta(seconds=silent),
        answers=answers and list(answers),
        **columns,
    )


def page(client: Client) -> str:
    return str(client.get(f"{URL}change/").content.decode())


@pytest.mark.parametrize("verb", VERBS)
def test_it_asks_first_and_then_writes_who_wanted_it_and_why(
    staff: Client, verb: str
) -> None:
    row = worker()
    assert f'<a href="{URL}{verb}/">' in page(staff)
    asking = staff.get(f"{URL}{verb}/").content.decode()
    assert "csrfmiddlewaretoken" in asking
    row.refresh_from_db()
    assert row.asked is None

    answer = staff.post(f"{URL}{verb}/", {"reason": "a leak"}, follow=True)

    assert answer.redirect_chain == [(f"{URL}change/", 302)]
    assert "It hears of it with its heartbeat." in answer.content.decode()
    assert "has not heard it yet" in answer.content.decode()
    row.refresh_from_db()
    assert row.asked == verb
    (entry,) = LogEntry.objects.all()
    assert (entry.user.username, entry.object_id) == ("staff", "1")
    assert "a leak" in entry.change_message
    # Until it is heard nothing else is asked.
    (other,) = {*VERBS} - {verb}
    again = staff.post(f"{URL}{other}/").content.decode()
    assert "It has not heard yet what it was asked last." in again
    row.refresh_from_db()
    assert row.asked == verb


@pytest.mark.parametrize("verb", VERBS)
def test_it_takes_the_permission_and_a_token(
    login: Callable[..., Client], verb: str
) -> None:
    row = worker()
    for permissions in (
        ["view_worker"],
        ["control_worker"],
        ["view_worker", "view_task"],
    ):
        client = login(*permissions)
        assert client.get(f"{URL}{verb}/").status_code == 403
        assert client.post(f"{URL}{verb}/").status_code == 403
        assert client.post(f"/admin/cq/worker/2/{verb}/").status_code == 403
        assert f"{URL}{verb}/" not in client.get(f"{URL}change/").content.decode()
        User.objects.all().delete()
    client = login("view_worker", "control_worker")
    assert client.post(f"/admin/cq/worker/2/{verb}/").status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post(f"{URL}{verb}/").status_code == 403
    row.refresh_from_db()
    assert row.asked is None
    assert client.post(f"{URL}{verb}/").status_code == 302


def test_who_would_not_hear_of_it_is_not_asked(staff: Client) -> None:
    row = worker(silent=60)
    text = page(staff)
    assert f"{URL}quiet/" not in text
    assert ">silent<" in text
    assert "The sweep of another worker" in text
    said = staff.post(f"{URL}quiet/").content.decode()
    assert "It has been silent for 1\xa0min" in said
    Worker.objects.update(last_seen=timezone.now(), answers=None)
    assert f"{URL}quiet/" not in page(staff)
    assert "does not do that" in staff.post(f"{URL}quiet/").content.decode()
    row.refresh_from_db()
    assert row.asked is None
    assert not LogEntry.objects.exists()


def locked() -> list[OperationalError]:
    """Return what databases say when a lock was waited for for too long."""
    of_sqlite = OperationalError("database is locked")
    of_sqlite.__cause__ = cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return [of_sqlite, OperationalError(1205, "Lock wait timeout exceeded")]


@pytest.mark.parametrize("error", locked())
def test_where_its_row_is_locked_it_says_so(
    staff: Client, error: OperationalError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*args: Any) -> bool:
        raise error

    worker()
    monkeypatch.setattr(requests, "ask", ask)
    answer = staff.post(f"{URL}quiet/", {"reason": "a leak"})
    assert answer.status_code == 200
    assert "The database is busy with something else." in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_it_says_what_it_runs_on_and_what_it_was_told(
    staff: Client, row: Callable[..., Any]
) -> None:
    made = worker(
        versions={"cq": "1.0<b>", "Django": "5.2", "Python": "3.12.1"},
        memory=96 * 2**20,
        state="draining",
    )
    row("RUNNING", name="asked.runs", worker=made, started=timezone.now())
    for url in ("/admin/cq/worker/", f"{URL}change/"):
        text = staff.get(url).content.decode()
        for part in (
            "Django\xa05.2, Python\xa03.12.1, cq\xa01.0&lt;b&gt;",
            "96.0\xa0MB",
            ">draining<",
            "asked.<wbr>runs",
        ):
            assert part in text
    Worker.objects.update(state="quiet")
    assert ">quiet<" in page(staff)


def test_a_lock_on_its_file_says_that_it_is_alive(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = worker(silent=60)
    monkeypatch.setattr("cq.workers.liveness.own_workers", {made.pk})
    assert ">alive<" in page(staff)
    assert f"{URL}quiet/" in page(staff)
