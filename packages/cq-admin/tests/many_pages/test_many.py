"""Many at once: what the page says, what it records, and what it leaves behind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from asked import questions
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.messages import get_messages

from cq import task
from cq.execution.inline import claim_task, passing_lease, run_now
from cq.models import Task
from cq.operations import preview
from cq.operations.cursor import Cursor
from cq.operations.found import Found
from cq.status import Status
from cq_admin.task_pages.admin import TaskAdmin

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/cq/task/"


@task("many.step")
def step(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def url(verb: str, query: str = "") -> str:
    return f"{LIST}many/{verb}/" + (f"?{query}" if query else "")


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def status(row: Task) -> str:
    return Task.objects.get(pk=row.pk).status


def operation() -> Task:
    return Task.objects.get(name="cq.operation")


def action(verb: str, *rows: Task, **more: Any) -> dict[str, Any]:
    chosen = [str(row.pk) for row in rows]
    return {"action": f"{verb}_selected", "_selected_action": chosen, **more}


# From the list ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["retry", "revoke", "now", "priority", "queue"])
def test_ticked_rows_lead_to_the_page(
    staff: Client, row: Callable[..., Task], verb: str
) -> None:
    one, two = row(Status.FAILURE), row(Status.FAILURE)
    answer = staff.post(LIST, action(verb, one, two))
    assert answer.status_code == 302
    found = answer["Location"]
    assert found.startswith(f"{LIST}many/{verb}/?ids=")
    assert one.pk.hex in found
    assert two.pk.hex in found
    assert {status(one), status(two)} == {Status.FAILURE}


def test_all_that_match_lead_to_the_page_with_the_filter(
    staff: Client, row: Callable[..., Task]
) -> None:
    one = row(Status.QUEUED, queue="mine")
    answer = staff.post(
        f"{LIST}?queue=mine&status__exact=QUEUED&p=1",
        action("revoke", one, select_across="1"),
    )
    assert answer["Location"] == f"{LIST}many/revoke/?status=QUEUED&queue=mine"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("q=sample", "What a search finds cannot be taken as a whole"),
        ("q=name:nobody.has", "What a search finds cannot be taken as a whole"),
        ("q=id:0199", "What a search finds cannot be taken as a whole"),
        ("q=queue:default&name__startswith=adm", "is not known here"),
        ("name__startswith=adm", "is not known here, so nothing is taken"),
    ],
)
def test_a_list_that_is_narrowed_otherwise_leads_nowhere(
    staff: Client, row: Callable[..., Task], query: str, message: str
) -> None:
    one = row(Status.QUEUED)
    answer = staff.post(f"{LIST}?{query}", action("revoke", one, select_across="1"))
    assert "many" not in answer.get("Location", "")
    assert any(message in text for text in said(answer))
    assert status(one) == Status.QUEUED


def test_a_search_whose_terms_are_filters_is_taken_as_a_whole(
    staff: Client, row: Callable[..., Task]
) -> None:
    searches = {
        "q=queue:mine": "queue=mine",
        "q=queue:mine+status:queued&status__exact=QUEUED,RETRY": (
            "status=QUEUED&queue=mine"
        ),
        "q=name:many.step&queue=mine&p=1": "name=many.step&queue=mine",
        "q=until:2036-07-01T00:00Z&queue=mine&level=top": (
            "queue=mine&until=2036-07-01T00:00:00%2B00:00&level=top"
        ),
    }
    one = row(Status.QUEUED, name="many.step", queue="mine")
    for _ in range(2):
        row(Status.QUEUED, name="many.step", queue="mine")
    row(Status.QUEUED, name="other", queue="elsewhere")
    all_of_it = action("revoke", one, select_across="1")
    for query, written in searches.items():
        shown = staff.get(f"{LIST}?{query}").context["cl"].result_list
        answer = staff.post(f"{LIST}?{query}", all_of_it)
        assert answer["Location"] == f"{LIST}many/revoke/?{written}"
        # The page that asks has the same tasks as the list.
        asks = staff.get(answer["Location"]).content.decode()
        assert len(shown) == 3
        assert "3 tasks will be revoked" in asks


def test_the_list_says_whether_all_of_it_can_be_taken(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskAdmin, "list_per_page", 2)
    for _ in range(3):
        row(Status.QUEUED, name="many.step", queue="mine")

    def text(query: str) -> str:
        found = staff.get(f"{LIST}?{query}").content.decode()
        return found.partition('class="actions"')[2].partition("</div>")[0]

    offered, not_whole = 'class="question hidden"', "cannot be taken as a whole"
    # What is counted, what an index does not count, and a search of the same.
    for query in ("", "queue=mine", "q=queue:mine", "q=name:many.step"):
        assert offered in text(query), query
        assert not_whole not in text(query), query
    for query in ("q=step", "q=name:nobody.has+step", "q=id:0"):
        found = text(query)
        assert offered not in found, query
        has_more = "id:" in query or query == "q=step"
        assert (not_whole in found) is has_more, query


# What it says -------------------------------------------------------------------------


def test_row_s22_it_says_first_what_would_be_done_to_how_many(
    staff: Client, row: Callable[..., Task]
) -> None:
    failed = [row(Status.FAILURE, name="many.step") for _ in range(6)]
    row(Status.QUEUED, name="many.step")
    row(Status.INCOMPLETE, name="cq.group")
    page = staff.get(url("retry")).content.decode()
    assert "6 tasks will run again." in page
    assert "groups and chains have no function" in page
    assert "not in this status" in page
    assert page.count('<th scope="row" class="cq-id">') == 5
    assert f"{LIST}{failed[-1].pk}/change/" in page
    assert "No worker is alive." in page
    assert 'name="reason"' in page
    assert 'name="spread"' in page
    assert 'name="priority"' not in page


def test_it_says_the_filter_in_words(staff: Client, row: Callable[..., Task]) -> None:
    row(Status.FAILURE, name="many.step", queue="mail")
    query = "status=FAILURE,LOST&name=many.step&queue=mail&since=2h&level=top"
    page = staff.get(url("retry", query)).content.decode()
    for words in ("failed, lost", "many.step", "mail", "Submitted since", "Top-level"):
        assert words in page
    # As it was read: two hours ago is another moment when the form is sent.
    (sent,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    assert "since=2" in sent
    assert "2h" not in sent


def test_what_has_succeeded_is_warned_of(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(Status.COMPLETE)
    row(Status.FAILURE)
    assert "Of these 1 have succeeded" in staff.get(url("retry")).content.decode()
    page = staff.get(url("retry", "status=FAILURE")).content.decode()
    assert "have succeeded" not in page


def test_what_cannot_be_counted_in_time_is_said(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    row(Status.FAILURE)
    with monkeypatch.context() as patched:
        patched.setattr(preview, "MOST_COUNTED", 0)
        page = staff.get(url("retry")).content.decode()
        assert "At least: 1 task will run again." in page
    from cq.db.timeouts import TookTooLong

    def too_slow(*args: Any) -> Any:
        raise TookTooLong

    monkeypatch.setattr(Found, "_counted", too_slow)
    page = staff.get(url("retry")).content.decode()
    assert "There are more tasks than could be counted in time." in page
    assert "There are more of them than could be counted in time." in page


def test_where_there_is_nothing_to_do_nothing_can_be_sent(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(Status.QUEUED)
    page = staff.get(url("retry")).content.decode()
    assert "There is nothing to do." in page
    assert '<form method="post"' not in page.replace('action="/admin/logout/"', "")
    assert staff.post(url("retry"), {"reason": ""}).status_code == 200
    assert not Task.objects.filter(name="cq.operation").exists()
    assert not LogEntry.objects.exists()


def test_hostile_names_are_shown_and_not_obeyed(
    staff: Client, row: Callable[..., Task]
) -> None:
    name = "<script>alert(1)</script>\u202e"
    row(Status.FAILURE, name=name)
    page = staff.get(url("retry", "name=%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE"))
    text = page.content.decode()
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert "1 task will run again." in text


def test_it_takes_a_dozen_queries(
    login: Callable[..., Client],
    row: Callable[..., Task],
    queries: Callable[[Callable[[], Any]], list[str]],
) -> None:
    client = login("view_task", "retry_task")
    for _ in range(7):
        row(Status.FAILURE)
    row(Status.QUEUED)
    client.get(url("retry"))
    assert len(questions(queries(lambda: client.get(url("retry"))))) <= 12


@pytest.mark.parametrize(
    "query",
    [
        "tag=",
        "colour=x",
        "q=x",
        "status=BROKEN",
        "ids=7",
        "root=x",
        "name=%00",
        "status=",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_address_that_is_not_understood_is_an_error(
    staff: Client, row: Callable[..., Task], query: str, method: str
) -> None:
    row(Status.FAILURE)
    answer = getattr(staff, method)(url("retry", query))
    assert answer.status_code == 400
    assert 'class="errornote"' in answer.content.decode()
    assert not Task.objects.filter(name="cq.operation").exists()


def test_ten_thousand_ids_are_a_clear_error(staff: Client) -> None:
    ids = ",".join(["0199a5f000007000800000000000abcd"] * 10_000)
    answer = staff.post(url("retry", f"ids={ids}"))
    assert answer.status_code == 400
    assert "but may have 1,000" in answer.content.decode()


# What it does -------------------------------------------------------------------------


def test_what_fits_into_a_batch_is_done_at_once(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_CONTEXT = ["cq.context.user"]
    failed = [row(Status.FAILURE, name="many.step") for _ in range(3)]
    other = row(Status.FAILURE)
    answer = staff.post(
        url("retry", "name=many.step&status=FAILURE"), {"reason": "Mended."}
    )
    made = operation()
    assert answer["Location"] == f"{LIST}{made.pk}/change/"
    assert said(answer) == ["3 tasks run again."]
    assert made.status == Status.COMPLETE
    assert {status(t) for t in failed} == {Status.QUEUED}
    assert status(other) == Status.FAILURE
    assert made.kwargs["by"] == "staff"
    assert made.kwargs["reason"] == "Mended."
    me = get_user_model().objects.get(username="staff")
    assert Task.objects.get(pk=failed[0].pk).context == {"user": me.pk}
    page = staff.get(answer["Location"]).content.decode()
    assert "3 changed" in page


def test_what_is_more_waits_for_a_worker(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cq_admin.many_pages.doing.PIECE", 2)
    failed = [row(Status.FAILURE) for _ in range(3)]
    answer = staff.post(url("retry"), {"reason": "", "spread": "10"})
    made = operation()
    assert said(answer) == [
        "It is done in the background. This page shows how far it is."
    ]
    assert (made.status, made.kwargs["total"], made.kwargs["spread"]) == (
        Status.QUEUED,
        3,
        10,
    )
    assert {status(t) for t in failed} == {Status.FAILURE}


def test_a_tree_that_is_large_waits_for_a_worker(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cq.operations.reach.PIECE", 2)
    root = row(Status.WAITING)
    for _ in range(3):
        row(Status.QUEUED, parent=root, root=root)
    monkeypatch.setattr(
        "cq_admin.many_pages.doing.reaches_far",
        lambda using, ids: len(ids) == 1,
    )
    staff.post(url("revoke", f"ids={root.pk}"))
    assert operation().status == Status.QUEUED
    assert status(root) == Status.WAITING


def test_the_button_of_a_large_tree_leads_here(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = row(Status.WAITING)
    monkeypatch.setattr(
        "cq_admin.verb_pages.verbs.reaches_far", lambda using, ids: True
    )
    answer = staff.post(f"{LIST}{root.pk}/revoke/")
    assert answer["Location"] == f"{LIST}many/revoke/?ids={root.pk.hex}"
    assert status(root) == Status.WAITING


def test_row_s22_there_is_one_entry_in_the_history(
    staff: Client, row: Callable[..., Task]
) -> None:
    for _ in range(3):
        row(Status.FAILURE, name="many.step")
    staff.post(
        url("retry", "name=many.step&status=FAILURE"), {"reason": "Provider mended."}
    )
    (entry,) = LogEntry.objects.all()
    assert entry.object_id == str(operation().pk)
    assert entry.user.get_username() == "staff"
    text = entry.get_change_message()
    assert text == (
        "Retry many tasks (3): status: FAILURE; name: many.step. Provider mended."
    )
    history = staff.get(f"{LIST}{operation().pk}/history/").content.decode()
    assert "Provider mended." in history


def test_who_clicks_twice_has_it_done_once(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cq_admin.many_pages.doing.PIECE", 0)
    row(Status.FAILURE)
    first, second = staff.post(url("retry")), staff.post(url("retry"))
    assert second["Location"] == first["Location"] == f"{LIST}{operation().pk}/change/"
    assert any("under way already" in text for text in said(second))
    assert LogEntry.objects.count() == 1


def test_what_is_refused_is_said(staff: Client, row: Callable[..., Task]) -> None:
    row(Status.QUEUED, unique_key="k")
    row(Status.FAILURE, options={"unique": "k"})
    answer = staff.post(url("retry", "status=FAILURE"))
    assert said(answer)[-1] == ("1 could not be changed; the log says which, and why.")
    page = staff.get(answer["Location"]).content.decode()
    assert "belongs to another live task" in page


def test_what_is_revoked_says_by_whom(staff: Client, row: Callable[..., Task]) -> None:
    queued = row(Status.QUEUED)
    staff.post(url("revoke"), {"reason": "Not today."})
    queued.refresh_from_db()
    made = operation()
    assert queued.status == Status.REVOKED
    assert queued.error == (
        f"It was revoked by staff in operation {made.pk}. Not today."
    )


def test_now_priority_and_queue(staff: Client, row: Callable[..., Task]) -> None:
    from django.utils import timezone

    later = row(Status.RETRY, run_after=timezone.now(), attempts=1)
    staff.post(url("now"))
    assert status(later) == Status.QUEUED
    staff.post(url("priority"), {"priority": "7"})
    staff.post(url("queue"), {"queue": "elsewhere"})
    later.refresh_from_db()
    assert (later.priority, later.queue) == (7, "elsewhere")


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        ("retry", {"spread": "-1"}),
        ("retry", {"spread": "x"}),
        ("retry", {"reason": "x" * 501}),
        ("retry", {"reason": "a\x00b"}),
        ("priority", {}),
        ("priority", {"priority": "101"}),
        ("queue", {"queue": ""}),
        ("queue", {"queue": "x" * 101}),
        ("queue", {"queue": "other"}),
    ],
)
def test_a_wrong_value_is_said_at_its_field_and_records_nothing(
    staff: Client,
    row: Callable[..., Task],
    settings: Any,
    verb: str,
    form: dict[str, str],
) -> None:
    settings.CQ_QUEUES = ["default"]
    row(Status.FAILURE)
    row(Status.QUEUED)
    answer = staff.post(url(verb), form)
    assert answer.status_code == 200
    assert 'class="errorlist' in answer.content.decode()
    assert not Task.objects.filter(name="cq.operation").exists()


def test_what_was_recorded_after_the_click_is_left_alone(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cq_admin.many_pages.doing.PIECE", 0)
    early = row(Status.FAILURE)
    staff.post(url("retry", "status=FAILURE"))
    later = row(Status.FAILURE)
    with passing_lease("default") as lease:
        for claimed in claim_task("default", lease.worker, operation().pk):
            run_now(lease, claimed)
    assert (status(early), status(later)) == (Status.QUEUED, Status.FAILURE)


def test_a_database_in_trouble_is_said_and_the_operation_is_kept(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def down(*args: Any) -> None:
        raise OperationalError("down")

    row(Status.FAILURE)
    monkeypatch.setattr("cq_admin.many_pages.doing.run_now", down)
    answer = staff.post(url("retry"))
    assert any("the operation goes on by itself" in text for text in said(answer))
    assert operation().status == Status.RUNNING


# Where nobody runs tasks in the background ----------------------------------------------


def test_the_page_does_it_step_by_step(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_RUN_INLINE = True
    failed = [row(Status.FAILURE, name="many.step") for _ in range(45)]
    page = staff.get(url("retry")).content.decode()
    assert "leave it open until it is done" in page

    answer = staff.post(url("retry", "status=FAILURE"))
    looked = []
    while "operation=" in answer["Location"]:
        made = operation()
        looked.append(Cursor.of(made.options).looked)
        page = staff.get(answer["Location"]).content.decode()
        assert "Go on" in page
        assert "cq_admin/go-on.js" in page
        assert f"{LIST}{made.pk}/change/" in page
        answer = staff.post(answer["Location"])
    assert looked == [20, 40]
    assert answer["Location"] == f"{LIST}{operation().pk}/change/"
    assert said(answer)[-1] == "45 tasks run again."
    assert {status(t) for t in failed} == {Status.COMPLETE}
    assert LogEntry.objects.count() == 1


def test_a_revoked_operation_goes_no_further(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_RUN_INLINE = True
    failed = [row(Status.FAILURE, name="many.step") for _ in range(25)]
    answer = staff.post(url("retry", "status=FAILURE"))
    made = operation()
    staff.post(f"{LIST}{made.pk}/revoke/")
    assert staff.post(answer["Location"])["Location"] == f"{LIST}{made.pk}/change/"
    assert sum(status(t) == Status.FAILURE for t in failed) == 5


@pytest.mark.parametrize(
    "given",
    ["x", "0199a5f0-0000-7000-8000-00000000abcd", "", "OTHER", "VERB", "FORGED"],
)
def test_only_an_operation_of_that_verb_is_taken_further(
    staff: Client, row: Callable[..., Task], settings: Any, given: str
) -> None:
    settings.CQ_RUN_INLINE = True
    if given == "OTHER":
        given = str(row(Status.QUEUED).pk)
    elif given == "VERB":
        kwargs = '{"verb":"revoke","filter":{},"newest":null}'
        given = str(row(Status.QUEUED, name="cq.operation", kwargs=kwargs).pk)
    elif given == "FORGED":
        given = str(row(Status.QUEUED, name="cq.operation", kwargs="{").pk)
    for method in (staff.get, staff.post):
        assert method(url("retry", f"operation={given}")).status_code == 404
