"""The list of workers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from cq.models import Pause, Worker
from cq.status import Status
from cq_admin.task_list import running
from cq_admin.worker_page import WorkerAdmin

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/worker/"


def worker(number: int, silent: float = 0, **columns: Any) -> Worker:
    now = timezone.now()
    columns.setdefault("queues", None)
    return Worker.objects.create(
        id=number,
        kind="cqworker",
        host=f"web-{number}",
        pid=100 + number,
        slots=4,
        started=now - timedelta(hours=2),
        last_seen=now - timedelta(seconds=silent),
        **columns,
    )


def test_each_shows_where_it_is_and_what_it_does(
    staff: Client, row: Callable[..., Any]
) -> None:
    one = worker(1, queues=["mail", "slow"], release="2026<11>")
    row(Status.RUNNING, worker=one, started=timezone.now())
    row(Status.RUNNING, worker=one, started=timezone.now())
    text = staff.get(URL).content.decode()
    for part in ("web-1:101", "mail, slow", "2026&lt;11&gt;", ">alive<"):
        assert part in text
    assert f'<a href="/admin/cq/task/?worker={one.pk}">2</a>' in text


def test_it_says_which_of_its_queues_are_paused(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    worker(1, queues=["mail", "sms"])
    worker(2, queues=["sms"])
    worker(3)
    worker(4, queues=["-mail"])
    before = queries(lambda: staff.get(URL))
    Pause.objects.create(kind="queue", name="mail", since=timezone.now())
    Pause.objects.create(kind="task", name="sms", since=timezone.now())
    said = "paused: <bdi>mail</bdi>"

    text = staff.get(URL).content.decode()
    assert text.count(said) == 2
    assert "<bdi>sms</bdi></div>" not in text  # a task of that name is
    shown = [
        said in staff.get(f"{URL}{n}/change/").content.decode() for n in (1, 2, 3, 4)
    ]
    assert shown == [True, False, True, False]
    assert len(queries(lambda: staff.get(URL))) == len(before)


def test_where_nobody_works_it_says_how_to_start_one(
    staff: Client, settings: Any
) -> None:
    says = "No worker is alive.</span> Start one with manage.py cqworker"
    settings.CQ_RUN_INLINE = False
    assert says in staff.get(URL).content.decode()
    assert says not in staff.get(URL, {"id__exact": 5}).content.decode()
    worker(1)
    assert says not in staff.get(URL).content.decode()
    Worker.objects.all().delete()
    settings.CQ_RUN_INLINE = True  # tasks run where they are made
    assert says not in staff.get(URL).content.decode()


def test_one_that_is_silent_beyond_its_lease_says_so(staff: Client) -> None:
    worker(1, silent=60)
    text = staff.get(URL).content.decode()
    assert ">silent<" in text
    assert "1\xa0min ago" in text
    assert "all" in text


def test_twenty_cost_the_queries_of_one(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    worker(1)
    one = queries(lambda: staff.get(URL))
    for number in range(2, 21):
        worker(number)
    assert len(queries(lambda: staff.get(URL))) == len(one)


def test_they_are_only_to_be_looked_at(
    staff: Client, login: Callable[..., Client]
) -> None:
    pk = worker(1).pk
    assert staff.get(f"{URL}add/").status_code == 403
    assert staff.get(f"{URL}{pk}/change/").status_code == 200
    assert staff.post(f"{URL}{pk}/change/", {"host": "x"}).status_code == 403
    assert staff.post(f"{URL}{pk}/delete/", {"post": "yes"}).status_code == 403
    assert login("view_task").get(URL).status_code == 403


def test_actions_of_a_project_stand_outside_of_what_is_replaced(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(pages: Any, request: Any, queryset: Any) -> None: ...

    monkeypatch.setattr(WorkerAdmin, "actions", (note,))
    worker(1)
    page = staff.get(URL).content.decode()
    assert 'value="note"' in page.partition('id="cq-parts"')[0]
    assert page.count('value="note"') == 1
    part = staff.get(URL, headers={"CQ-Part": "cq-parts"}).content.decode()
    assert 'value="note"' not in part
    assert 'class="action-select"' in part


def test_it_shows_what_each_runs_the_longest_first(
    staff: Client, login: Callable[..., Client], row: Callable[..., Any]
) -> None:
    one, now = worker(1), timezone.now()
    for minutes in (1, 90, 5):
        row(
            Status.RUNNING,
            name=f"worker.runs{minutes}",
            args='["ann<b>"]',
            kwargs='{"password": "s3cret"}',
            worker=one,
            started=now - timedelta(minutes=minutes),
            progress_done=1,
            progress_total=4,
        )
    row(Status.QUEUED, name="worker.waits")
    text = staff.get(URL).content.decode()
    places = [text.index(f"runs{minutes}") for minutes in (90, 5, 1)]
    assert places == sorted(places)
    assert "1\xa0h 30\xa0min" in text
    assert "1 / 4" in text
    assert "ann&lt;b&gt;" in text
    assert "s3cret" not in text
    assert "waits" not in text
    text = login("view_worker").get(URL).content.decode()
    assert "runs90" not in text
    User.objects.filter(username="kim").delete()
    text = login("view_worker", "view_task").get(URL).content.decode()
    assert "runs90" in text
    assert "ann&lt;" not in text


def test_what_is_not_shown_is_said(
    staff: Client, row: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker(1)
    for _ in range(4):
        row(Status.RUNNING, worker=one, started=timezone.now())
    monkeypatch.setattr(running, "MOST_SHOWN", 3)
    assert "1 more task" in staff.get(URL).content.decode()
    monkeypatch.setattr(running, "MOST_READ", 2)
    text = staff.get(URL).content.decode()
    assert "more than 1,000 tasks" in text
    assert text.count("admin.<wbr>sample") == 2


def test_what_runs_is_one_statement_over_its_index(
    staff: Client, row: Callable[..., Any], queries: Any, reads_a_table: Any
) -> None:
    for number in range(1, 6):
        one = worker(number)
        for _ in range(3):
            row(Status.RUNNING, worker=one, started=timezone.now())
    found = queries(lambda: staff.get(URL))
    assert len(found) <= 12
    assert sum('"cq_tasks"."args"' in sql or "args_start" in sql for sql in found) == 1
    assert not [sql for sql in found if "args_start" in sql and reads_a_table(sql)]


def test_a_thousand_runs_are_a_page_of_bounded_size(
    staff: Client, row: Callable[..., Any], queries: Any
) -> None:
    workers = [worker(number) for number in range(1, 51)]
    now = timezone.now()
    for number in range(1_050):
        row(
            Status.RUNNING,
            name="shop.tasks.import_the_catalogue_of_a_supplier",
            args=f'["{"x" * 2_000}"]',
            worker=workers[number % 50],
            started=now,
            progress_message="y" * 200,
        )
    staff.get(URL)
    found = queries(lambda: staff.get(URL))
    assert len(found) <= 12
    text = staff.get(URL).content.decode()
    assert len(text) < 1_000_000
    assert "more than 1,000 tasks" in text
    alone = staff.get(f"{URL}1/change/").content.decode()
    assert len(alone) < 100_000
