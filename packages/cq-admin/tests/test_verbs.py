"""Retry and revoke: who may, by which address, and what is left behind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client

from cq import group, task
from cq.models import Task
from cq.status import Status
from cq_admin import task_admin

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

LIST = "/admin/cq/task/"


@task("admin_verbs.step")
def step(cqt: Any) -> None: ...


def url(row: Task, page: str) -> str:
    return f"{LIST}{row.pk}/{page}/"


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def status(row: Task) -> str:
    return Task.objects.get(pk=row.pk).status


# One task ----------------------------------------------------------------------------


def test_retry_queues_a_finished_task_again(
    staff: Client, row: Callable[..., Task]
) -> None:
    failed = row(Status.FAILURE, name="admin_verbs.step", error="no", fence=3)
    done = staff.post(url(failed, "retry"))
    assert done.status_code == 302
    assert done["Location"] == url(failed, "change")
    assert said(done) == ["1 task will run again."]
    failed.refresh_from_db()
    assert (failed.status, failed.error, failed.fence) == (Status.QUEUED, None, 4)


def test_revoke_withdraws_a_task_and_says_who(
    staff: Client, row: Callable[..., Task]
) -> None:
    queued = row(Status.QUEUED)
    done = staff.post(url(queued, "revoke"))
    assert said(done) == ["1 task was revoked."]
    queued.refresh_from_db()
    assert (queued.status, queued.error) == (Status.REVOKED, "Revoked by staff.")


@pytest.mark.parametrize(
    ("verb", "before", "change", "message"),
    [
        ("retry", Status.QUEUED, {}, "only a finished task can be retried"),
        ("retry", Status.SKIPPED, {}, "only a finished task can be retried"),
        ("retry", Status.FAILURE, {"name": "cq.group"}, "no function of its own"),
        ("retry", Status.FAILURE, {"options": {"unique": "k"}}, "k"),
        ("revoke", Status.COMPLETE, {}, "only a task that is not done can be revoked"),
    ],
    ids=["open", "skipped", "group", "unique", "settled"],
)
def test_what_cannot_be_done_is_said_and_not_logged(
    staff: Client,
    row: Callable[..., Task],
    verb: str,
    before: str,
    change: dict[str, Any],
    message: str,
) -> None:
    row(Status.QUEUED, unique_key="k")
    refused = row(before, **change)
    done = staff.post(url(refused, verb))
    assert done.status_code == 302
    (text,) = said(done)
    assert message in text
    assert status(refused) == before
    assert not LogEntry.objects.exists()


def test_each_leaves_an_entry_in_the_history(
    staff: Client, row: Callable[..., Task]
) -> None:
    changed = row(Status.FAILURE, name="admin_verbs.step")
    staff.post(url(changed, "retry"))
    staff.post(url(changed, "revoke"))
    entries = LogEntry.objects.order_by("pk")
    assert [entry.get_change_message() for entry in entries] == ["Retried.", "Revoked."]
    assert {entry.object_id for entry in entries} == {str(changed.pk)}
    assert {entry.user.get_username() for entry in entries} == {"staff"}
    history = staff.get(url(changed, "history")).content.decode()
    assert "Retried." in history


@pytest.mark.parametrize("verb", ["retry", "revoke"])
@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_only_a_post_does_anything(
    staff: Client, row: Callable[..., Task], verb: str, method: str
) -> None:
    before = {"retry": Status.FAILURE, "revoke": Status.QUEUED}[verb]
    untouched = row(before)
    answer = getattr(staff, method)(url(untouched, verb))
    assert answer.status_code == 405
    assert status(untouched) == before


@pytest.mark.parametrize("verb", ["retry", "revoke"])
def test_a_post_needs_its_token(
    staff: Client, row: Callable[..., Task], verb: str
) -> None:
    before = {"retry": Status.FAILURE, "revoke": Status.QUEUED}[verb]
    untouched = row(before)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    assert strict.post(url(untouched, verb)).status_code == 403
    assert strict.post(LIST, _action(verb, untouched)).status_code == 403
    assert status(untouched) == before


def test_the_forms_carry_the_token(staff: Client, row: Callable[..., Task]) -> None:
    failed = row(Status.FAILURE, name="admin_verbs.step")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    page = strict.get(url(failed, "change")).content.decode()
    form = page[page.index(f'action="{url(failed, "retry")}"') :]
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert token is not None
    done = strict.post(url(failed, "retry"), {"csrfmiddlewaretoken": token[1]})
    assert done.status_code == 302
    assert status(failed) == Status.QUEUED


@pytest.mark.parametrize("pk", ["0199a5f0-0000-7000-8000-000000000000", "nonsense"])
@pytest.mark.parametrize("verb", ["retry", "revoke"])
def test_a_task_that_is_gone_is_not_found(staff: Client, verb: str, pk: str) -> None:
    assert staff.post(f"{LIST}{pk}/{verb}/").status_code == 404


# Who may -----------------------------------------------------------------------------

MATRIX = [
    ((), set()),
    (("view_task",), set()),
    (("retry_task", "revoke_task"), set()),  # unseen, nothing is touched
    (("view_task", "retry_task"), {"retry"}),
    (("view_task", "revoke_task"), {"revoke"}),
    (("view_task", "retry_task", "revoke_task"), {"retry", "revoke"}),
    (("view_task", "change_task", "delete_task", "add_task"), set()),
]


@pytest.mark.parametrize("verb", ["retry", "revoke"])
@pytest.mark.parametrize(("codenames", "allowed"), MATRIX)
def test_each_verb_has_its_permission(
    login: Callable[..., Client],
    row: Callable[..., Task],
    codenames: tuple[str, ...],
    allowed: set[str],
    verb: str,
) -> None:
    client = login(*codenames)
    before = {"retry": Status.FAILURE, "revoke": Status.QUEUED}[verb]
    by_button = row(before, name="admin_verbs.step")
    by_action = row(before, name="admin_verbs.step")
    if "view_task" in codenames:
        page = client.get(url(by_button, "change")).content.decode()
        assert (url(by_button, verb) in page) is (verb in allowed)
        page = client.get(LIST).content.decode()
        assert (f"{verb}_selected" in page) is (verb in allowed)
    answer = client.post(url(by_button, verb))
    assert answer.status_code == (302 if verb in allowed else 403)
    client.post(LIST, _action(verb, by_action))
    for touched in (by_button, by_action):
        assert (status(touched) != before) is (verb in allowed)
    assert LogEntry.objects.count() == (2 if verb in allowed else 0)


def test_who_may_not_learns_nothing_of_what_there_is(
    login: Callable[..., Client],
) -> None:
    client = login("view_task")
    answer = client.post(f"{LIST}0199a5f0-0000-7000-8000-000000000000/retry/")
    assert answer.status_code == 403


def test_without_a_login_there_is_only_the_login(
    client: Client, row: Callable[..., Task]
) -> None:
    failed = row(Status.FAILURE)
    answer = client.post(url(failed, "retry"))
    assert answer.status_code == 302
    assert "/login/" in answer["Location"]
    assert status(failed) == Status.FAILURE


@pytest.mark.parametrize(
    ("before", "name", "verbs"),
    [
        (Status.QUEUED, "s", {"revoke"}),
        (Status.WAITING, "cq.group", {"revoke"}),
        (Status.COMPLETE, "s", {"retry"}),
        (Status.LOST, "s", {"retry"}),
        (Status.SKIPPED, "s", set()),
        (Status.FAILURE, "cq.group", set()),
    ],
)
def test_a_page_offers_what_makes_sense(
    staff: Client, row: Callable[..., Task], before: str, name: str, verbs: set[str]
) -> None:
    shown = row(before, name=name)
    page = staff.get(url(shown, "change")).content.decode()
    assert {v for v in ("retry", "revoke") if url(shown, v) in page} == verbs


# Several tasks -----------------------------------------------------------------------


def _action(verb: str, *rows: Task, **more: Any) -> dict[str, Any]:
    chosen = [str(row.pk) for row in rows]
    return {"action": f"{verb}_selected", "_selected_action": chosen, **more}


def test_an_action_does_what_it_can_and_says_the_rest(
    staff: Client, row: Callable[..., Task]
) -> None:
    failed = [row(Status.FAILURE) for _ in range(2)]
    queued = [row(Status.QUEUED) for _ in range(5)]
    left = row(Status.FAILURE)
    done = staff.post(LIST, _action("retry", *failed, *queued))
    messages = said(done)
    assert messages[0] == "2 tasks will run again."
    assert len(messages) == 5
    assert messages[-1] == "And 2 more."
    assert {status(each) for each in failed} == {Status.QUEUED}
    assert status(left) == Status.FAILURE
    assert LogEntry.objects.count() == 2


def test_an_action_on_all_stops_at_its_limit(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_admin, "AT_ONCE", 2)
    rows = [row(Status.QUEUED) for _ in range(4)]
    done = staff.post(LIST, _action("revoke", rows[0], select_across="1"))
    assert said(done) == [
        "2 tasks were revoked.",
        "These were the first 2; the others are as they were.",
    ]
    # Of the list, the first are the newest.
    revoked = [status(each) == Status.REVOKED for each in rows]
    assert revoked == [False, False, True, True]


def test_an_action_on_all_keeps_to_the_filter(
    staff: Client, row: Callable[..., Task]
) -> None:
    mine = row(Status.QUEUED, queue="mine")
    other = row(Status.QUEUED, queue="other")
    staff.post(f"{LIST}?queue=mine", _action("revoke", mine, select_across="1"))
    assert (status(mine), status(other)) == (Status.REVOKED, Status.QUEUED)


def test_revoking_a_group_takes_its_members(staff: Client) -> None:
    root = group([step.s(), step.s()]).delay()
    staff.post(url(root, "revoke"))
    assert {child.status for child in root.subtasks.all()} == {Status.REVOKED}
