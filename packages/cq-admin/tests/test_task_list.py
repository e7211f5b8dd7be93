"""The list of tasks: what it shows, what it finds, and what it costs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from cq import task
from cq.models import Task, Worker
from cq.status import Status
from cq_admin import listing
from cq_admin.readable import duration, span, state

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
        progress_done=40,
        progress_total=100,
        progress_message="rows",
    )
    text = shown(staff)
    assert '<span class="cq-state cq-state-bad">failed</span>' in text
    assert "shop.import" in text
    assert "slow" in text
    assert "3\xa0min 12\xa0s" in text
    assert '<progress value="40.0" max="100.0">' in text
    assert "40 / 100 rows" in text


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
    one = queries(lambda: names(staff))
    for n in range(99):
        row(name=f"n{n}", parent=root, root=root, args='["x"]')
    hundred = queries(lambda: names(staff))
    assert len(names(staff)) == 100
    assert len(hundred) == len(one)
    assert sum("cq_tasks" in sql for sql in hundred) == 2


def test_megabytes_stay_in_the_database(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    row()
    (rows,) = [sql for sql in queries(lambda: names(staff)) if "progress_done" in sql]
    for column in listing.HEAVY:
        assert f'"cq_tasks"."{column}"' not in rows


def test_no_count_goes_over_the_whole_table(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    row()
    counts = [sql for sql in queries(lambda: names(staff)) if "COUNT" in sql]
    assert len(counts) == 1
    assert "LIMIT 10001" in counts[0]


def test_more_than_is_counted_shows_a_plus(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNTED", 3)
    for n in range(3):
        row(name=f"n{n}")
    text = shown(staff)
    assert "3 tasks" in text
    assert "reach no further" not in text
    row(name="n3")
    text = shown(staff)
    assert "3+ tasks" in text
    assert "reach no further" in text


@pytest.mark.parametrize("separate", [False, True])
def test_a_capped_count_reads_well(settings: Any, separate: bool) -> None:
    from django.template import Context, Template

    settings.USE_THOUSAND_SEPARATOR = separate
    count = listing.CappedCount(10_000)
    text = Template("{{ count }}").render(Context({"count": count}))
    assert text == ("10,000" if separate else "10,000+")


def test_the_big_columns_are_no_filters(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(args='["secret"]')
    for column in listing.HEAVY:
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


def test_a_search_looks_at_the_newest(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SEARCHED", 2)
    for n in range(4):
        row(name=f"n{n}")
    assert names(staff, q="n") == ["n3", "n2"]
    assert "newest 100,000" in shown(staff)


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


def test_a_task_is_not_added_changed_or_deleted_here(
    staff: Client, row: Callable[..., Task]
) -> None:
    pk = row().pk
    assert staff.get(f"{URL}add/").status_code == 403
    assert staff.get(f"{URL}{pk}/delete/").status_code == 403
    assert staff.post(f"{URL}{pk}/delete/", {"post": "yes"}).status_code == 403
    changed = staff.post(f"{URL}{pk}/change/", {"name": "other"})
    assert changed.status_code == 403
    deleted = {"action": "delete_selected", "_selected_action": str(pk)}
    staff.post(URL, {**deleted, "post": "yes"})
    assert Task.objects.get().name == "admin.sample"
