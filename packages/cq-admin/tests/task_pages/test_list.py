"""The list of tasks: what it shows, what it finds, and what it costs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asked import questions
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from cq import task
from cq.models import Edge, Task, Worker
from cq.status import Status
from cq_admin.display.html import duration, span, state
from cq_admin.task_list import counting
from cq_admin.task_pages import changelist, choosing

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"


@task("admin_list.known", queue="letters")
def known(cqt: Any) -> None: ...


def names(client: Client, **query: Any) -> list[str]:
    """The names that a list shows, from the top."""
    page = client.get(URL, query)
    assert page.status_code == 200
    return [row.name for row in page.context["cl"].result_list]


def shown(client: Client, **query: Any) -> str:
    page = client.get(URL, query)
    assert page.status_code == 200
    return page.content.decode()


def test_the_addresses_are_djangos() -> None:
    assert reverse("admin:cq_task_changelist") == URL


def test_the_newest_come_first_whatever_the_address_asks_for(
    staff: Client, row: Callable[..., Task]
) -> None:
    for name in ("b", "c", "a"):
        row(name=name)
    assert names(staff) == ["a", "c", "b"]
    assert names(staff, o="1") == ["a", "c", "b"]
    assert "sortable" not in shown(staff)


def test_a_row_shows_what_a_glance_is_for(
    staff: Client, row: Callable[..., Task]
) -> None:
    start = timezone.now() - timedelta(minutes=10)
    row(
        Status.FAILURE,
        name="shop.import",
        queue="slow",
        started=start,
        finished=start + timedelta(seconds=192),
        exception="builtins.ValueError",
        error="no such file",
    )
    text = shown(staff)
    assert '<span class="cq-state cq-state-bad">failed</span>' in text
    assert "shop.<wbr>import" in text
    assert "slow" in text
    assert "3\xa0min 12\xa0s" in text
    assert "ValueError: no such file" in text


def test_what_failed_for_another_is_muted_and_leads_to_it(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    began = row(Status.FAILURE, name="shop.step")
    for _ in range(2):
        row(Status.INCOMPLETE, name="shop.parent", cause=began.pk)
    gone = Task().pk
    row(Status.INCOMPLETE, name="shop.other", cause=gone)
    text = shown(staff)
    assert text.count("cq-state-bad") == 1
    assert text.count("cq-state-quiet") == 3
    link = f'<a class="cq-because" href="{URL}{began.pk}/change/">because of shop.step'
    assert text.count(link) == 2
    assert str(gone) not in text


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_its_word(status: Status) -> None:
    assert str(status.label) in state(status)


def test_a_status_nobody_knows_is_escaped() -> None:
    assert "&lt;b&gt;" in state("<b>")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0\xa0ms"),  # two clocks
        (0.0123, "12\xa0ms"),
        (1.25, "1.2\xa0s"),
        (59.9, "59.9\xa0s"),
        (60, "1\xa0min"),
        (61, "1\xa0min 1\xa0s"),
        (3_700, "1\xa0h 1\xa0min"),
        (90_000, "1\xa0d 1\xa0h"),
    ],
)
def test_a_length_of_time_has_two_units(seconds: float, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


def test_an_interval_is_said_to_the_second() -> None:
    length = timedelta(days=1, seconds=3601)
    assert span(length, exact=True) == "1\xa0d 1\xa0h 1\xa0s"


def test_what_waits_for_its_next_attempt_is_not_running(
    row: Callable[..., Task],
) -> None:
    now = timezone.now()
    for status, text in (
        (Status.RETRY, "-"),
        (Status.QUEUED, "-"),
        (Status.WAITING, "1\xa0min"),
    ):
        task = row(status, started=now - timedelta(minutes=1), run_after=now)
        assert duration(task, now) == text


# What it costs -----------------------------------------------------------------------


def test_a_hundred_rows_cost_the_queries_of_one(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    root = row()
    began = row(Status.FAILURE)
    one = queries(lambda: names(staff, name="n0"))
    for n in range(99):
        row(name=f"n{n}", parent=root, root=root, args='["x"]', cause=began.pk)
    waits = row(Status.PENDING)
    Edge.objects.create(task=waits, depends_on=root)
    hundred = queries(lambda: names(staff))
    assert len(names(staff)) == 100
    assert len(hundred) <= len(one) + 2
    # On MariaDB it is one more for each queue that has work.
    assert len(about_tasks(hundred)) <= 6


def about_tasks(sent: list[str]) -> list[str]:
    # Saved views are one statement more, which their own test holds.
    return [sql for sql in sent if "cq_" in sql and "cq_views" not in sql]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"status": "FAILURE,LOST"},
        {"status": "QUEUED"},
        {"status": "RUNNING"},
        {"status": "PENDING,RETRY"},
        {"name": "nobody", "since": "1h"},
        {"queue": "nowhere"},
        {"level": "top", "status": "COMPLETE"},
        {"q": "order_id:4711"},
        {"q": "error:timeout"},
    ],
)
def test_a_page_is_twelve_queries_at_most(
    staff: Client,
    row: Callable[..., Task],
    queries: Callable[..., list[str]],
    query: dict[str, str],
) -> None:
    began = row(Status.FAILURE, error="Timeout")
    for status in Status:
        worker = {"worker_id": 1} if status == Status.RUNNING else {}
        made = row(status, run_after=timezone.now(), cause=began.pk, **worker)
        Edge.objects.create(task=made, depends_on=began)
    sent = questions(queries(lambda: names(staff, **query)))
    assert len(sent) <= 12


def test_megabytes_stay_in_the_database(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    row()
    (rows,) = [sql for sql in queries(lambda: names(staff)) if "progress_done" in sql]
    columns = rows.partition(" FROM ")[0].replace("`", '"').split(", ")
    for column in changelist.HEAVY_COLUMNS:
        assert f'"cq_tasks"."{column}"' not in columns


def test_no_count_goes_over_the_whole_table(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    row()
    counts = [sql for sql in queries(lambda: names(staff)) if "COUNT" in sql]
    assert len(counts) == 1
    assert counts[0].count("COUNT") == counts[0].count("LIMIT 10001")


def test_more_than_is_counted_shows_a_plus(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 3)
    monkeypatch.setattr(changelist, "MOST_COUNTED", 3)
    monkeypatch.setattr(type(admin.site._registry[Task]), "list_per_page", 2)
    for n in range(3):
        row(name=f"n{n}")
    assert "3 tasks" in shown(staff)
    row(name="n3")
    assert "3+ tasks" in shown(staff)


@pytest.mark.parametrize("separate", [False, True])
def test_a_capped_count_reads_well(settings: Any, separate: bool) -> None:
    from django.template import Context, Template

    settings.USE_THOUSAND_SEPARATOR = separate
    count = choosing.CappedCount(10_000)
    text = Template("{{ count }}").render(Context({"count": count}))
    assert text == ("10,000" if separate else "10,000+")


def test_the_big_columns_are_no_filters(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(args='["secret"]')
    for column in changelist.HEAVY_COLUMNS:
        assert staff.get(URL, {f"{column}__contains": "s"}).status_code == 400


# What it finds -----------------------------------------------------------------------


def test_a_search_takes_an_id(staff: Client, row: Callable[..., Task]) -> None:
    wanted = row(name="wanted")
    row(name="other")
    assert names(staff, q=str(wanted.pk)) == ["wanted"]
    assert names(staff, q=wanted.pk.hex) == ["wanted"]


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("mail", ["mail.send"]),
        ("MAIL", ["mail.send"]),
        ("ann@example.org", ["mail.send"]),
        ("send ann", ["mail.send"]),  # every word, each anywhere
        ("send bob", []),
        ("Müller", ["bill.print"]),  # stored as an escape
        ('say "hi"', ["bill.print"]),
        ("bill_print", []),  # no wildcards
        ("100%", ["bill.print"]),
        ("", ["bill.print", "mail.send"]),
        ("   ", ["bill.print", "mail.send"]),
    ],
)
def test_a_search_takes_words_of_name_and_arguments(
    staff: Client, row: Callable[..., Task], term: str, found: list[str]
) -> None:
    row(name="mail.send", args='["ann@example.org"]')
    kwargs = {"to": "Müller", "text": 'say "hi" 100%'}
    row(name="bill.print", kwargs=json.dumps(kwargs))
    assert names(staff, q=term) == found


def test_filters_by_status_queue_and_level(
    staff: Client, row: Callable[..., Task]
) -> None:
    top = row(Status.FAILURE, name="top", queue="slow")
    row(name="below", parent=top, root=top)
    assert names(staff, status__exact="FAILURE") == ["top"]
    assert names(staff, queue="slow") == ["top"]
    assert names(staff, level="top") == ["top"]
    assert names(staff, level="below") == ["below"]
    assert names(staff, parent=str(top.pk)) == ["below"]
    assert names(staff, root=str(top.pk)) == ["below", "top"]


def test_names_and_queues_to_choose_come_from_the_registry(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    row(name="stored.only", queue="stored-only")
    text = shown(staff)
    assert "?name=admin_list.known" in text
    assert "?queue=letters" in text
    assert "?name=stored.only" not in text
    assert names(staff, name="stored.only") == ["stored.only"]
    # On, it is shown, and can be taken off.
    assert "stored-only" in shown(staff, queue="stored-only", name="none")


def test_what_runs_on_a_worker(staff: Client, row: Callable[..., Task]) -> None:
    now = timezone.now()
    worker = Worker.objects.create(
        id=7, kind="x", host="h", pid=1, started=now, last_seen=now
    )
    row(Status.RUNNING, name="here", worker=worker, started=now)
    row(name="elsewhere")
    assert names(staff, worker="7") == ["here"]


@pytest.mark.parametrize(
    "query",
    [
        {"parent": "no-id"},
        {"root": "1"},
        {"worker": "x"},
        {"worker": "-1"},
        {"worker": str(2**70)},
        {"queue": "\x00"},
        {"name": "\x00"},
    ],
)
def test_an_address_that_means_nothing_leads_back(
    staff: Client, row: Callable[..., Task], query: dict[str, str]
) -> None:
    row()
    page = staff.get(URL, query)
    assert page.status_code == 302
    assert page["Location"].endswith("?e=1")


def test_the_list_is_for_staff_who_may_see_tasks(
    client: Client, login: Callable[..., Client]
) -> None:
    assert client.get(URL).status_code == 302
    assert login("retry_task").get(URL).status_code == 403


def test_a_task_is_not_changed_or_deleted_here(
    staff: Client, row: Callable[..., Task]
) -> None:
    pk = row().pk
    assert staff.get(f"{URL}{pk}/delete/").status_code == 403
    assert staff.post(f"{URL}{pk}/delete/", {"post": "yes"}).status_code == 403
    changed = staff.post(f"{URL}{pk}/change/", {"name": "other"})
    assert changed.status_code == 403
    deleted = {"action": "delete_selected", "_selected_action": str(pk)}
    staff.post(URL, {**deleted, "post": "yes"})
    assert Task.objects.get().name == "admin.sample"
