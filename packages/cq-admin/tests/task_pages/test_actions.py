"""Retry and revoke, done: what changes, what is said, and what is left behind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.messages import get_messages
from django.test import Client

from cq import group, task
from cq.models import Task
from cq.status import Status

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


def test_who_retries_a_task_acts_in_it(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_CONTEXT = ["cq.context.user"]
    failed = row(
        Status.FAILURE, name="admin_verbs.step", options={"context": {"user": 0}}
    )

    staff.post(url(failed, "retry"))

    failed.refresh_from_db()
    me = get_user_model().objects.get(username="staff")
    assert failed.context == {"user": me.pk}
    assert "Context" in staff.get(url(failed, "change")).content.decode()


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
        ("retry", Status.FAILURE, {"options": {"unique": "k"}}, "belongs to another"),
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
    # In place: on the page that asks.
    assert done.status_code == 200
    assert message in done.content.decode()
    assert "<button" not in done.content.decode().partition('id="content-main"')[2]
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
def test_row_s10_each_verb_has_its_permission(
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
    assert (status(by_button) != before) is (verb in allowed)
    # The action leads to a page that asks first.
    leads = client.post(LIST, _action(verb, by_action)).get("Location", "")
    assert (f"/many/{verb}/?ids=" in leads) is (verb in allowed)
    assert status(by_action) == before
    assert LogEntry.objects.count() == (1 if verb in allowed else 0)


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


# Several tasks -----------------------------------------------------------------------


def _action(verb: str, *rows: Task, **more: Any) -> dict[str, Any]:
    chosen = [str(row.pk) for row in rows]
    return {"action": f"{verb}_selected", "_selected_action": chosen, **more}


def test_revoking_a_group_takes_its_members(staff: Client) -> None:
    root = group([step.s(), step.s()]).delay()
    staff.post(url(root, "revoke"))
    assert {child.status for child in root.subtasks.all()} == {Status.REVOKED}
