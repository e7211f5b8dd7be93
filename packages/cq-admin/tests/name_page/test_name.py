"""The page of a task's name."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import kitchen
import pytest
from asked import questions
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db.models.functions import Left
from django.urls import reverse
from django.utils import timezone
from hostile_texts import PAYLOADS, inline_code, tags
from plans import analyze, plan

from cq import Limit, mark, task
from cq.definitions import registry
from cq.figures.steps import minute_of
from cq.ids import uuid7
from cq.models import Figure, Task
from cq.status import Status
from cq.tables import slices
from cq_admin.name_page import failures, slowest, view
from cq_admin.name_page.failures import masked

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/of/"
NAME = "names.charge"


@task(NAME, queue="payments", retries=3, timeout=30, redact=("card",))
def charge(cqt: Any, card: str = "") -> None: ...


@pytest.fixture
def viewer(login: Callable[..., Client]) -> Callable[..., Client]:
    """Logs somebody in who may see figures, and has other permissions."""

    def as_viewer(*codenames: str) -> Client:
        kind = ContentType.objects.get_for_model(Task)
        found, _ = Permission.objects.get_or_create(
            codename="view_overview",
            content_type__app_label="cq",
            defaults={"content_type": kind, "name": "Can view overview"},
        )
        client = login(*codenames)
        User.objects.get(username="kim").user_permissions.add(found)
        return client

    return as_viewer


def text(answer: Any) -> str:
    assert answer.status_code == 200
    found: str = answer.content.decode()
    return found.partition('id="content-start"')[2]


def failed(row: Callable[..., Task], error: str, **columns: Any) -> Task:
    columns = {"name": NAME, "exception": "shop.Declined", "error": error, **columns}
    return row(Status.FAILURE, **columns)


def many_others() -> None:
    """Make failures of another name, for plans of a table that is not small."""
    moment = timezone.now() - timedelta(days=1)
    ids = [uuid7() for _ in range(3_000)]
    Task.objects.bulk_create(
        Task(
            pk=pk,
            root_id=pk,
            name="names.other",
            status=Status.FAILURE,
            submitted=moment,
            started=moment,
            finished=moment,
        )
        for pk in ids
    )
    analyze("cq_tasks")


def test_it_has_an_address_by_name() -> None:
    assert reverse("admin:cq_task_of") == URL


def test_the_page_of_a_task_leads_to_it(
    viewer: Callable[..., Client], row: Callable[..., Task]
) -> None:
    found = row(name="a&b/c")
    page = viewer("view_task").get(f"/admin/cq/task/{found.pk}/change/")
    assert f'href="{URL}?name=a%26b%2Fc"' in text(page)
    User.objects.get(username="kim").user_permissions.filter(
        codename="view_overview"
    ).delete()
    page = page.client.get(f"/admin/cq/task/{found.pk}/change/")
    assert URL not in text(page)


def test_it_has_the_figures_of_its_ranges(staff: Client) -> None:
    present = minute_of(timezone.now())
    for ago, complete in ((2, 5), (90, 3), (60 * 30, 8_000)):
        Figure.objects.create(
            step=1 if ago < 120 else 60,
            slot=(present - ago) if ago < 120 else (present - ago) // 60 * 60,
            name=NAME,
            queue="payments",
            complete=complete,
            failed=1,
        )
    rows = staff.get(URL, {"name": NAME}).context["cq_ranges"]
    assert [(row.runs, row.before) for row in rows] == [
        ("6", "+50\xa0%"),
        ("10", "-100\xa0%"),
        ("8,011", "new"),
        ("8,011", "new"),
    ]


def test_its_charts_are_of_it_alone_and_say_the_same_as_tables(staff: Client) -> None:
    slot = minute_of(timezone.now()) - 5
    for name, complete in ((NAME, 6), ("names.other", 90)):
        Figure.objects.create(
            step=1, slot=slot, name=name, queue="q", complete=complete, failed=2, w03=6
        )
    mark("v42 <b>", timezone.now())
    answer = staff.get(URL, {"name": NAME})
    found = {chart.name: chart for chart in answer.context["cq_charts"]}
    assert list(found) == ["runs", "waits", "durations"]
    sums = [cells for _, cells in found["runs"].rows if cells[0] != "0/min"]
    assert [cells[:3] for cells in sums] == [["6/min", "0/min", "2/min"]]
    shown = text(answer)
    # A name and a description for those who hear it, and the values of it as a table.
    assert shown.count('role="img"') == shown.count("<desc id=") == 3
    assert shown.count("as a table") == 3
    assert "<title>v42 &lt;b&gt;</title>" in shown
    assert "cq_admin/figures.css" in answer.content.decode()


def test_the_range_of_its_charts_is_in_the_address(staff: Client) -> None:
    answer = staff.get(URL, {"name": NAME, "range": "week", "compare": "week"})
    [current] = [one for one in answer.context["cq_lengths"] if one.is_current]
    assert str(current.label) == "Week"
    assert f'href="?name={NAME}&amp;range=day&amp;compare=week"' in text(answer)
    for wrong in ({"range": "<b>"}, {"compare": "x"}, {"since": "2h", "until": "3h"}):
        answer = staff.get(URL, {"name": NAME, **wrong})
        assert answer.status_code == 400
        assert 'class="errornote"' in answer.content.decode()
        assert "<b>" not in answer.content.decode()


def test_where_nothing_is_counted_that_is_said(staff: Client, settings: Any) -> None:
    settings.CQ_FIGURES = False
    found = text(staff.get(URL, {"name": NAME}))
    assert "CQ_FIGURES is False" in found
    assert 'role="img"' not in found


def test_it_says_what_is_registered(staff: Client) -> None:
    page = staff.get(URL, {"name": NAME})
    found = {fact.label: str(fact.value) for fact in page.context["cq_facts"]}
    assert found["Queue"] == "<bdi>payments</bdi>"
    assert found["Retries"] == "3"
    assert found["Timeout"] == "30 s"
    assert found["Hidden"] == "card"
    assert "No task of that name" in text(staff.get(URL, {"name": "no.such"}))


def test_it_says_what_becomes_of_calls_with_one_key(staff: Client) -> None:
    for function, wanted in (
        (
            kitchen.remembered,
            {"Unique": "order:{order}", "Key remembered": "90 s"},
        ),
        (kitchen.debounced, {"Unique": "later:{order}", "Debounced": "90 s"}),
    ):
        page = staff.get(URL, {"name": function.name})
        found = {fact.label: str(fact.value) for fact in page.context["cq_facts"]}
        assert wanted.items() <= found.items()


def test_it_says_what_its_calls_are_limited_by(staff: Client) -> None:
    for function, wanted in (
        (
            kitchen.limited,
            {
                "Limits": "concurrency 2, rate 5/m, key order:{order}; rate 9/s, burst 3, "
                "key kitchen:_by_order; concurrency 4",
                "Takes turns by": "{order}",
            },
        ),
        (kitchen.turns, {"Takes turns by": "a key of its arguments"}),
    ):
        page = staff.get(URL, {"name": function.name})
        found = {fact.label: str(fact.value) for fact in page.context["cq_facts"]}
        assert wanted.items() <= found.items()
        assert ("Limits" in found) is ("Limits" in wanted)


def test_a_limit_that_has_a_name_is_told_by_it(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No other test has the settings that it names.
    monkeypatch.setattr(registry, "_definitions", {})

    @task("names.limited", limits=["stripe", Limit(concurrency=1)])
    def limited(cqt: Any) -> None: ...

    page = staff.get(URL, {"name": limited.name})
    found = {fact.label: str(fact.value) for fact in page.context["cq_facts"]}
    assert found["Limits"] == "stripe; concurrency 1"


def test_it_asks_for_a_name(staff: Client) -> None:
    for name in ("", "a\x00b"):
        assert f'<option value="{NAME}">' in text(staff.get(URL, {"name": name}))


def test_failures_are_alike_but_for_their_digits(
    staff: Client, row: Callable[..., Task]
) -> None:
    now = timezone.now()
    failed(row, "no answer for order 4711\nand more", finished=now - timedelta(hours=2))
    newest = failed(row, "no answer for order 12")
    failed(row, "no answer for order 12", exception="shop.Other")
    failed(row, "no answer", finished=now - timedelta(days=1, seconds=5))
    failed(row, "no answer", name="names.other")
    row(Status.LOST, name=NAME, error="no answer")
    page = staff.get(URL, {"name": NAME})
    groups = page.context["cq_failures"].groups
    assert [(g.exception, g.line, g.count) for g in groups] == [
        ("shop.Declined", "no answer for order #", 2),
        ("shop.Other", "no answer for order #", 1),
    ]
    assert f'href="/admin/cq/task/{newest.pk}/change/"' in text(page)
    assert not page.context["cq_failures"].cut


def test_what_is_not_looked_at_is_said(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "MOST_READ", 2)
    for n in range(3):
        failed(row, f"error {n}")
    page = staff.get(URL, {"name": NAME})
    assert page.context["cq_failures"].count == 2
    assert "Only the newest" in text(page)


@pytest.mark.parametrize(
    ("error", "line"),
    [("", ""), ("\n\n a1b22 \n c", "a#b#"), ("1" * 500, "#"), ("x\u2028y", "x")],
)
def test_a_line_is_masked(error: str, line: str) -> None:
    assert masked(error) == line


def test_errors_pass_the_redaction_of_text(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = "redaction_of_tests.hide_words"
    failed(row, "the password is hunter2")
    found = text(staff.get(URL, {"name": NAME}))
    assert "hunter" not in found
    assert "[gone]" in found


def test_the_slowest_of_the_newest(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()

    def took(seconds: int, name: str = NAME, status: str = Status.COMPLETE) -> Task:
        started = now - timedelta(seconds=seconds)
        return row(status, name=name, started=started, finished=now)

    old = took(900)
    made = [took(n) for n in (5, 30, 10)]
    took(700, "names.other")
    row(Status.WAITING, name=NAME, started=now)
    wanted = [made[1].pk, made[2].pk, made[0].pk]
    found = staff.get(URL, {"name": NAME}).context["cq_slowest"]
    assert [one["id"] for one in found] == [old.pk, *wanted]
    monkeypatch.setattr(slowest, "NEWEST", 5)
    found = staff.get(URL, {"name": NAME}).context["cq_slowest"]
    assert [one["id"] for one in found] == wanted
    monkeypatch.setattr(slowest, "SLOWEST", 1)
    found = staff.get(URL, {"name": NAME}).context["cq_slowest"]
    assert [one["id"] for one in found] == wanted[:1]


# Who ----------------------------------------------------------------------------------


def test_row_s10_it_needs_the_permission_to_see_figures(
    login: Callable[..., Client], client: Client
) -> None:
    assert client.get(URL)["Location"].startswith("/admin/login/")
    found = login("view_task", "add_task", "view_task_args", "view_worker")
    assert found.get(URL).status_code == 403
    assert found.get(URL, {"name": NAME}).status_code == 403


def test_single_tasks_are_for_who_may_see_them(
    viewer: Callable[..., Client], row: Callable[..., Task]
) -> None:
    task = failed(row, "no answer")
    found = text(viewer().get(URL, {"name": NAME}))
    assert "no answer" not in found
    assert str(task.pk) not in found
    assert "add/?name" not in found
    User.objects.all().delete()
    found = text(viewer("view_task", "add_task").get(URL, {"name": NAME}))
    assert "no answer" in found
    assert f'href="/admin/cq/task/add/?name={NAME}"' in found


def test_tasks_that_are_not_theirs_are_not_told_of(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cq_admin.task_pages.admin import TaskAdmin

    def none(self: Any, request: Any) -> Any:
        return Task.objects.none()

    task = failed(row, "no answer")
    monkeypatch.setattr(TaskAdmin, "get_queryset", none)
    found = text(staff.get(URL, {"name": NAME}))
    assert "no answer" not in found
    assert str(task.pk) not in found


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_is_only_looked_at(staff: Client, method: str) -> None:
    assert getattr(staff, method)(f"{URL}?name={NAME}").status_code == 405


@pytest.mark.parametrize("payload", PAYLOADS)
def test_row_s7_no_text_becomes_markup(
    staff: Client,
    row: Callable[..., Task],
    payload: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of one moment: charts have a slot more when half a minute is over.
    now = timezone.now()
    monkeypatch.setattr(view, "timezone", SimpleNamespace(now=lambda: now))
    pages = []
    for one in ("plain", payload):
        name = f"names.{one}"[:200]
        failed(row, one, name=name, exception=one)
        answer = staff.get(URL, {"name": name})
        assert answer.status_code == 200
        pages.append(answer.content.decode())
    assert tags(pages[0]) == tags(pages[1])
    assert not inline_code(pages[0])
    for sign in "\x1b\u202e\u2028\u2029\u200f\ufeff":
        assert sign not in pages[1]


@pytest.mark.parametrize(
    "name", ["a/b", "a#b?c=d&e", "..", " ", "\u05d0\u05d1", "x" * 3000]
)
def test_any_name_has_its_page(
    staff: Client, row: Callable[..., Task], name: str
) -> None:
    assert staff.get(URL, {"name": name}).status_code == 200


# Bounds -------------------------------------------------------------------------------


def test_it_is_a_few_queries_and_reads_no_table(
    viewer: Callable[..., Client],
    row: Callable[..., Task],
    queries: Any,
    reads_a_table: Any,
) -> None:
    for n in range(30):
        failed(row, f"error {n}")
    # Of whom permissions are asked as well, and who sees all of it.
    client = viewer("view_task", "add_task", "view_task_args")
    found = queries(lambda: client.get(URL, {"name": NAME}))
    assert len(questions(found)) <= 12
    # Of schedules there are few, and no index has their names.
    of_tasks = [sql for sql in found if "cq_repeating_tasks" not in sql]
    assert not [sql for sql in of_tasks if reads_a_table(sql)]


@pytest.mark.backend("postgres", "valkey")
def test_failures_are_found_by_an_index(row: Callable[..., Task]) -> None:
    failed(row, "no answer")
    many_others()
    rows = slices.of_status(Task.objects.filter(name=NAME), Status.FAILURE).rows
    found = rows.annotate(text=Left("error", 9)).values_list("pk", "text")[:1000]
    how = plan(*found.query.sql_with_params())
    assert "cq_attention_by_name" in how, how
    assert "Sort" not in how


@pytest.mark.backend("postgres", "valkey")
def test_the_slowest_are_looked_for_by_the_primary_key(
    staff: Client,
    row: Callable[..., Task],
    queries: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slowest, "NEWEST", 50)
    many_others()
    failed(row, "no answer")
    found = queries(lambda: staff.get(URL, {"name": NAME}))
    asked = [sql for sql in found if " FROM " in sql and '"took"' in sql]
    assert len(asked) == 1
    how = plan(asked[0].replace("%", "%%"))
    assert "Seq Scan" not in how, how
    assert "Index Cond: (id >= " in how
