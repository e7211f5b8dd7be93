"""Who may change many tasks, and which of them, where a project narrows its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from cq.execution.inline import claim_task, passing_lease, run_now
from cq.models import Task
from cq.status import Status
from cq_admin.many_pages import yours

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/cq/task/"
BEFORE = {"retry": Status.FAILURE, "revoke": Status.QUEUED}


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def url(verb: str, query: str = "") -> str:
    return f"{LIST}many/{verb}/" + (f"?{query}" if query else "")


def status(row: Task) -> str:
    return Task.objects.get(pk=row.pk).status


MATRIX = [
    ((), set()),
    (("view_task",), set()),
    (("retry_task", "revoke_task"), set()),
    (("view_task", "retry_task"), {"retry"}),
    (("view_task", "revoke_task"), {"revoke"}),
    (("view_task", "change_task", "delete_task", "add_task"), set()),
]


@pytest.mark.parametrize("verb", ["retry", "revoke", "now", "priority", "queue"])
@pytest.mark.parametrize(("codenames", "allowed"), MATRIX)
def test_row_s10_each_verb_has_its_permission(
    login: Callable[..., Client],
    row: Callable[..., Task],
    codenames: tuple[str, ...],
    allowed: set[str],
    verb: str,
) -> None:
    client = login(*codenames)
    failed, queued = row(Status.FAILURE), row(Status.QUEUED)
    form = {"priority": "7", "queue": "other"}
    assert client.get(url(verb)).status_code == (200 if verb in allowed else 403)
    assert client.post(url(verb), form).status_code == (302 if verb in allowed else 403)
    assert (status(failed) != Status.FAILURE) is (verb in allowed & {"retry"})
    assert (status(queued) != Status.QUEUED) is (verb in allowed & {"revoke"})
    queued.refresh_from_db()
    assert (queued.priority, queued.queue) == (0, "default")
    assert LogEntry.objects.count() == (1 if verb in allowed else 0)


@pytest.mark.parametrize("verb", ["now", "priority", "queue"])
def test_what_has_not_begun_is_moved_by_who_may_hasten(
    login: Callable[..., Client], row: Callable[..., Task], verb: str
) -> None:
    # Of whatever release the migration is that makes it.
    content = Permission.objects.get(codename="retry_task").content_type
    Permission.objects.get_or_create(
        codename="hasten_task", content_type=content, defaults={"name": "hasten"}
    )
    client = login("view_task", "hasten_task")
    row(Status.QUEUED)
    assert client.get(url(verb)).status_code == 200
    assert client.get(url("retry")).status_code == 403


def test_who_may_not_learns_nothing_of_what_there_is(
    login: Callable[..., Client],
) -> None:
    client = login("view_task")
    for query in ("", "q=x", "ids=7", "operation=0199a5f0-0000-7000-8000-00000000abcd"):
        assert client.get(url("retry", query)).status_code == 403


def test_a_verb_that_there_is_not_is_not_found(staff: Client) -> None:
    for verb in ("delete", "retry%20", "..", "cq_task"):
        assert staff.get(url(verb)).status_code == 404


@pytest.mark.parametrize("verb", ["retry", "revoke"])
def test_without_a_login_there_is_only_the_login(
    client: Client, row: Callable[..., Task], verb: str
) -> None:
    one = row(BEFORE[verb])
    for method in (client.get, client.post):
        answer = method(url(verb))
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]
    assert status(one) == BEFORE[verb]


@pytest.mark.parametrize("verb", ["retry", "revoke"])
@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_a_post_does_anything(
    staff: Client, row: Callable[..., Task], verb: str, method: str
) -> None:
    one = row(BEFORE[verb])
    answer = getattr(staff, method)(url(verb))
    assert answer.status_code == (200 if method in ("get", "head") else 405)
    assert status(one) == BEFORE[verb]
    assert not Task.objects.filter(name="cq.operation").exists()


@pytest.mark.parametrize("verb", ["retry", "revoke"])
def test_a_post_needs_its_token(
    staff: Client, row: Callable[..., Task], verb: str
) -> None:
    one = row(BEFORE[verb])
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    assert strict.post(url(verb)).status_code == 403
    assert status(one) == BEFORE[verb]
    token = strict.get(url(verb)).cookies["csrftoken"].value
    assert strict.post(url(verb), {"csrfmiddlewaretoken": token}).status_code == 302
    assert status(one) != BEFORE[verb]


# Projects that narrow them --------------------------------------------------------------


@pytest.fixture
def narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's own pages, that show nobody the tasks of the queue "theirs"."""
    pages = type(admin.site._registry[Task])
    own = pages.get_queryset

    def get_queryset(self: Any, request: Any) -> Any:
        return own(self, request).exclude(queue="theirs")

    monkeypatch.setattr(pages, "get_queryset", get_queryset)


@pytest.fixture
def only_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's own pages, that let people act on the queue "mine" alone."""
    pages = type(admin.site._registry[Task])
    for verb in BEFORE:

        def may(self: Any, request: Any, obj: Any = None) -> bool:
            return obj is None or obj.queue in ("mine", "default")

        monkeypatch.setattr(pages, f"has_{verb}_permission", may)


@pytest.mark.usefixtures("narrowed")
@pytest.mark.parametrize("verb", ["retry", "revoke"])
@pytest.mark.parametrize("by", ["", "queue=theirs", "ids"])
def test_row_s10_what_is_not_there_for_somebody_is_not_touched(
    staff: Client, row: Callable[..., Task], verb: str, by: str
) -> None:
    mine = row(BEFORE[verb], name="mine", queue="mine")
    theirs = row(BEFORE[verb], name="unseen", queue="theirs")
    if by == "ids":
        by = f"ids={theirs.pk},{mine.pk}"
    page = staff.get(url(verb, by)).content.decode()
    assert "unseen" not in page
    assert "2 task" not in page
    staff.post(url(verb, by))
    assert status(theirs) == BEFORE[verb]
    assert (status(mine) == BEFORE[verb]) is (by == "queue=theirs")


@pytest.mark.usefixtures("only_mine")
@pytest.mark.parametrize("verb", ["retry", "revoke"])
def test_row_s10_what_a_project_denies_is_counted_and_not_touched(
    staff: Client, row: Callable[..., Task], verb: str
) -> None:
    mine = row(BEFORE[verb], queue="mine")
    theirs = [row(BEFORE[verb], queue="theirs") for _ in range(2)]
    page = staff.get(url(verb)).content.decode()
    assert "Not yours: 2." in page
    staff.post(url(verb))
    assert status(mine) != BEFORE[verb]
    assert {status(t) for t in theirs} == {BEFORE[verb]}
    made = Task.objects.get(name="cq.operation")
    assert made.kwargs["filter"] == {"ids": [mine.pk.hex]}


@pytest.mark.usefixtures("only_mine")
def test_row_s10_it_keeps_to_what_was_asked_about(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cq_admin.many_pages.doing.PIECE", 0)
    mine = row(Status.FAILURE, queue="mine")
    moved = row(Status.FAILURE, queue="theirs")
    staff.post(url("retry"))
    # It would match by now, but nobody has asked about it.
    Task.objects.filter(pk=moved.pk).update(queue="mine")
    with passing_lease("default") as lease:
        made = Task.objects.get(name="cq.operation")
        for claimed in claim_task("default", lease.worker, made.pk):
            run_now(lease, claimed)
    assert (status(mine), status(moved)) == (Status.QUEUED, Status.FAILURE)


@pytest.mark.usefixtures("only_mine")
@pytest.mark.parametrize("method", ["get", "post"])
def test_more_than_can_be_asked_about_is_said(
    staff: Client,
    row: Callable[..., Task],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    monkeypatch.setattr(yours, "MOST_IDS", 2)
    rows = [row(Status.FAILURE, queue="mine") for _ in range(3)]
    answer = getattr(staff, method)(url("retry"))
    assert answer.status_code == 400
    assert "no more than 2 at once" in answer.content.decode()
    assert {status(t) for t in rows} == {Status.FAILURE}


@pytest.mark.usefixtures("narrowed")
def test_where_the_operation_itself_is_not_shown_the_list_is(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_QUEUES = ["theirs"]
    row(Status.FAILURE, queue="mine")
    assert staff.post(url("retry"))["Location"] == LIST
