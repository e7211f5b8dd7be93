"""Who may not see a value finds it by no page, no search and no filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.db import connections

from cq import task
from cq.conf import conf
from cq.display.redaction import HIDDEN
from cq.models import Edge, Task
from cq.status import Status
from cq_admin.task_list.windows import Look

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"


@task("who_sees.pay", redact=("card",))
def pay(cqt: Any, who: str, card: str = "") -> None: ...


def names(client: Client, **query: Any) -> list[str]:
    page = client.get(URL, query)
    assert page.status_code == 200
    return [row.name for row in page.context["cl"].result_list]


def page(client: Client, row: Task) -> str:
    answer = client.get(f"{URL}{row.pk}/change/")
    assert answer.status_code == 200
    return str(answer.content.decode())


# Arguments, results and logs ----------------------------------------------------------


@pytest.fixture
def paid(row: Callable[..., Task], say: Callable[..., None]) -> Task:
    args, kwargs = '["ann@shop","card-4111"]', '{"password":"s3cret","to":"bob@shop"}'
    made: Task = row(name="who_sees.pay", args=args, kwargs=kwargs, result='"done9"')
    say(made, 1, message="paid in full")
    return made


def test_arguments_results_and_logs_need_permissions_of_their_own(
    login: Callable[..., Client], paid: Task
) -> None:
    text = page(login("view_task"), paid)
    for value in ("ann@", "bob@", "done9", "paid in full"):
        assert value not in text
    assert "Shown to those who may see arguments and results." in text


def test_with_the_permission_they_are_shown(
    login: Callable[..., Client], paid: Task
) -> None:
    text = page(login("view_task", "view_task_args"), paid)
    for value in ("ann@", "bob@", "done9"):
        assert value in text
    assert text.count(HIDDEN) == 4  # at the top, and whole
    for value in ("card-4111", "s3cret", "paid in full"):
        assert value not in text


def test_the_log_has_its_own(login: Callable[..., Client], paid: Task) -> None:
    text = page(login("view_task", "view_task_log"), paid)
    assert "paid in full" in text
    assert "bob@" not in text


def test_row_s11_who_may_not_see_arguments_does_not_search_them(
    login: Callable[..., Client], paid: Task
) -> None:
    client = login("view_task")
    assert names(client, q="bob") == []
    assert names(client, q="PAY") == ["who_sees.pay"]
    help_text = client.get(URL).content.decode()
    assert "Words of the name and of tags, or:" in help_text


@pytest.mark.parametrize("word", ["s3cret", "s3c", "4111", '"s3', "password s3cret"])
def test_row_s11_no_search_finds_what_is_hidden_from_everybody(
    staff: Client, paid: Task, word: str
) -> None:
    assert names(staff, q=word) == []
    assert names(staff, q="password bob ann") == ["who_sees.pay"]
    assert names(staff, q="pay bob") == ["who_sees.pay"]


@pytest.mark.parametrize(
    "lookup",
    [
        "args__startswith",
        "kwargs__regex",
        "kwargs__contains",
        "error__contains",
        "result__gt",
        "traceback__contains",
        "options__isnull",
        "name__regex",
        "progress_message__contains",
        "parent__args__contains",
        "root__name",
        "submitted__year",
        "unique_key__startswith",
        "logs__message__contains",
    ],
)
def test_row_s11_a_list_compares_only_what_it_shows(
    staff: Client, paid: Task, lookup: str
) -> None:
    assert staff.get(URL, {lookup: "1"}).status_code == 400
    # Of the workers as well.
    assert staff.get("/admin/cq/worker/", {f"tasks__{lookup}": "1"}).status_code == 400


def test_what_it_shows_can_be_compared(staff: Client, paid: Task) -> None:
    shown = ["who_sees.pay"]
    assert names(staff, id__exact=str(paid.pk)) == shown
    assert names(staff, status__in="COMPLETE,FAILURE") == shown
    assert names(staff, name__startswith="who_") == shown
    assert names(staff, submitted__gte="2020-01-01 00:00:00+00:00") == shown
    assert names(staff, attempts__gt="5") == []


@pytest.mark.parametrize("column", ["status__exact", "name__startswith", "queue"])
def test_a_nul_in_the_address_leads_back(staff: Client, column: str) -> None:
    answer = staff.get(URL, {column: "a\x00"})
    assert answer.status_code == 302
    assert answer["Location"].endswith("?e=1")


def drop_digits(task_name: str, text: str) -> str:
    return "".join("#" if c.isdigit() else c for c in text)


def test_errors_and_logs_pass_the_projects_function(
    staff: Client, row: Callable[..., Task], say: Callable[..., None], settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = f"{__name__}.drop_digits"
    failed = {"error": "card 411141114111", "traceback": "at 422242224222"}
    root = row(Status.INCOMPLETE, **failed)
    child = row(Status.FAILURE, parent=root, root=root, **failed)
    say(child, 1, root, message="pin 433343334333")
    text = page(staff, root)
    # Longer than what an id may have by chance.
    for digits in ("411141114111", "422242224222", "433343334333"):
        assert digits not in text
    assert text.count("card ############") == 3  # at the top as well
    assert "pin ############" in text


# Tasks of others ----------------------------------------------------------------------


@pytest.fixture
def narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's own pages, that show nobody the tasks of the queue "theirs"."""
    pages = type(admin.site._registry[Task])
    own = pages.get_queryset

    def get_queryset(self: Any, request: Any) -> Any:
        return own(self, request).exclude(queue="theirs")

    monkeypatch.setattr(pages, "get_queryset", get_queryset)


@pytest.mark.usefixtures("narrowed")
def test_no_page_tells_of_tasks_that_are_not_there_for_its_reader(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    above = row(Status.WAITING, name="unseen_above", queue="theirs")
    mine = row(
        Status.WAITING,
        name="mine",
        parent=above,
        root=above,
        previous=row(name="unseen_before", queue="theirs"),
    )
    below = row(
        Status.FAILURE,
        name="unseen_below",
        queue="theirs",
        error="unseen_error",
        parent=mine,
        root=above,
    )
    row(Status.FAILURE, name="seen_below", error="seen", parent=mine, root=above)
    before = row(name="unseen_upstream", queue="theirs")
    after = row(Status.PENDING, name="unseen_downstream", queue="theirs")
    seen_after = row(Status.PENDING, name="seen_downstream")
    Edge.objects.create(task=mine, depends_on=before)
    Edge.objects.create(task=after, depends_on=mine)
    Edge.objects.create(task=seen_after, depends_on=mine)
    say(below, 1, above, message="unseen_line")
    say(mine, 1, above, message="seen_line")
    text = page(staff, mine)
    assert "unseen_" not in text
    for name in ("seen_below", "seen_downstream", "seen_line"):
        assert name in text
    assert names(staff, q="below") == ["seen_below"]


@pytest.mark.usefixtures("narrowed")
def test_no_filter_and_no_count_tells_of_them_either(
    staff: Client, row: Callable[..., Task]
) -> None:
    for status in (Status.QUEUED, Status.FAILURE, Status.PENDING):
        row(status, name="unseen", queue="theirs", error="unseen_error")
    row(Status.FAILURE, name="mine", error="seen")
    for query in ("", "status=FAILURE", "status=QUEUED", "q=error:seen", "name=unseen"):
        answer = staff.get(f"{URL}?{query}")
        text = answer.content.decode()
        assert "theirs" not in text
        assert "unseen_error" not in text
        counts = answer.context["cl"].counts
        assert counts.total == 1
        assert {s: n for s, n in counts.all.items() if n} == {"FAILURE": 1}
    assert names(staff, queue="theirs") == []


# Objects ------------------------------------------------------------------------------


@pytest.fixture
def only_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's own pages, that let people act on the queue "mine" alone."""
    pages = type(admin.site._registry[Task])
    for action in ("retry", "revoke"):

        def may(self: Any, request: Any, obj: Any = None) -> bool:
            return obj is None or obj.queue == "mine"

        monkeypatch.setattr(pages, f"has_{action}_permission", may)


@pytest.mark.usefixtures("only_mine")
@pytest.mark.parametrize(
    ("action", "before"), [("retry", Status.FAILURE), ("revoke", Status.QUEUED)]
)
def test_row_s10_a_button_asks_for_its_task(
    staff: Client, row: Callable[..., Task], action: str, before: str
) -> None:
    theirs = row(before, name="who_sees.pay", queue="theirs")
    assert staff.post(f"{URL}{theirs.pk}/{action}/").status_code == 403
    theirs.refresh_from_db()
    assert theirs.status == before


# Time ---------------------------------------------------------------------------------


@pytest.mark.backend("postgres", "valkey")
def test_row_s21_a_page_that_takes_too_long_is_given_up(
    staff: Client,
    row: Callable[..., Task],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.CQ_ADMIN_TIMEOUT = 0.1
    slow = row()

    def sleep(*args: Any) -> Any:
        with connections[conf.DATABASE].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")

    with monkeypatch.context() as patched:
        patched.setattr("cq_admin.task_list.windows.Look.page", sleep)
        answer = staff.get(URL, {"q": "word"})
        assert answer.status_code == 503
        assert "more than 0.1 s (CQ_ADMIN_TIMEOUT)" in answer.content.decode()
    with monkeypatch.context() as patched:
        # What the templates ask is within the limit, too.
        patched.setattr("cq_admin.task_pages.detail.Detail.log", property(sleep))
        assert staff.get(f"{URL}{slow.pk}/change/").status_code == 503
    settings.CQ_ADMIN_TIMEOUT = 0.02
    rows = {"app_label": "auth", "model_name": "user"}
    answers = {}
    for url, looks in {
        f"{URL}{slow.pk}/args/": "task_pages.admin.TaskAdminMixin.get_object",
        f"{URL}{slow.pk}/live/": "task_pages.live.read",
        f"{URL}add/rows/": "new_task.rows.RowsView.get_queryset",
        "/admin/cq/worker/1/quiet/": "worker_page.WorkerAdminMixin.get_object",
    }.items():
        with monkeypatch.context() as patched:
            patched.setattr(f"cq_admin.{looks}", sleep)
            answers[url] = staff.get(url, rows).status_code
    assert set(answers.values()) == {503}, answers
    with connections[conf.DATABASE].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
    assert names(staff) == ["admin.sample"]


def session() -> tuple[str, str]:
    """What holds for the statements of this session: a limit of time, and compiling."""
    with connections[conf.DATABASE].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('statement_timeout'), current_setting('jit')"
        )
        found: tuple[str, str] = cursor.fetchone()
    return found


@pytest.mark.backend("postgres", "valkey")
def test_the_limit_ends_with_the_page(
    staff: Client,
    row: Callable[..., Task],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    settings.CQ_ADMIN_TIMEOUT = 30
    row()
    outside, within = session(), []
    with monkeypatch.context() as patched:
        own = Look.page

        def page(*args: Any) -> Any:
            within.append(session())
            return own(*args)

        patched.setattr(Look, "page", page)
        assert names(staff) == ["admin.sample"]
    # Statements that nobody may wait for are not worth compiling either.
    assert within == [("30s", "off")]
    assert session() == outside
    assert outside[0] == "0"


def test_row_s12_ten_megabytes_of_error_are_cut_before_they_are_escaped(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cq_admin.display import html

    seen: list[int] = []
    own = html.visible

    def visible(text: object) -> str:
        seen.append(len(str(text)))
        return own(text)

    monkeypatch.setattr(html, "visible", visible)
    assert "left out" in html.block("\x1b" * 10_000_000)
    assert max(seen) < 40_000


def test_the_arguments_of_old_rows_are_no_json(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(name="broken", args='["bob"')
    assert names(staff, q="bob") == []
