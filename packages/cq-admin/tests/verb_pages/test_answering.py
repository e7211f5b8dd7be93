"""The question of a task on its page: who sees it, who answers, and what is kept of that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone
from hostile_texts import PAYLOADS

from cq.codec import Encoded
from cq.models import Message, Step
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from cq.models import Task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    """Without cq-channels what an answer has woken would run at once."""
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def asking(row: Callable[..., Task]) -> Callable[..., Task]:
    """Makes a task that asks something."""

    def make(
        question: str = "Refund?",
        choices: tuple[str, ...] = ("yes", "no"),
        permission: str | None = None,
    ) -> Task:
        task = row(Status.SUSPENDED, fence=1)
        Step.objects.create(
            task=task,
            kind=Step.ASK,
            name=question,
            number=1,
            fence=1,
            started=timezone.now(),
            form=Encoded(json.dumps([choices, permission])),
        )
        return task

    return make


def page(task: Task) -> str:
    return f"/admin/cq/task/{task.pk}/change/"


def send(client: Client, task: Task, choice: object, question: object = None) -> Any:
    asked = Step.objects.get(task=task).pk if question is None else question
    url = f"/admin/cq/task/{task.pk}/answer/"
    return client.post(url, {"question": asked, "choice": choice}, follow=True)


def part(answer: Any) -> str:
    """What the page says of the question."""
    found: str = answer.text.partition('id="question"')[2].partition("</section>")[0]
    return found


def test_its_buttons_answer_and_who_did_is_kept(
    login: Callable[..., Client], asking: Callable[..., Task]
) -> None:
    client, task = login("view_task", "retry_task"), asking()
    shown = part(client.get(page(task)))
    assert "Refund?" in shown
    assert shown.count("<button") == 2
    answer = send(client, task, 0)
    assert "Your answer to “Refund?” was taken: yes" in answer.text
    assert not part(answer)
    message = Message.objects.get()
    assert (message.payload, message.author, message.kind) == ("yes", "kim", "ask")
    assert LogEntry.objects.get().get_change_message() == "Answered “Refund?”: yes"
    task.refresh_from_db()
    assert task.status == Status.QUEUED
    assert "no longer open" in send(client, task, 1).text
    assert Message.objects.count() == 1


def test_it_wants_the_permission_of_the_question(
    login: Callable[..., Client], asking: Callable[..., Task]
) -> None:
    client = login("view_task", "retry_task", "view_task_args")
    task = asking(permission="cq.revoke_task")
    shown = part(client.get(page(task)))
    assert "<button" not in shown
    assert "needs the permission “cq.revoke_task”" in shown
    assert send(client, task, 0).status_code == 403
    assert not Message.objects.exists()


def test_who_may_not_answer_nor_see_arguments_is_shown_nothing(
    login: Callable[..., Client], asking: Callable[..., Task]
) -> None:
    client, task = login("view_task"), asking()
    answer = client.get(page(task))
    assert answer.status_code == 200
    assert "Refund?" not in answer.text
    assert send(client, task, 0).status_code == 403


def test_who_may_not_see_tasks_answers_none(
    login: Callable[..., Client], asking: Callable[..., Task]
) -> None:
    assert send(login("retry_task"), asking(), 0).status_code == 403
    assert not Message.objects.exists()


@pytest.mark.parametrize("choice", ["2", "-1", "yes", "", "٣", "9" * 30])
def test_what_is_no_button_of_it_answers_nothing(
    staff: Client, asking: Callable[..., Task], choice: str
) -> None:
    assert "no longer open" in send(staff, asking(), choice).text
    assert not Message.objects.exists()


def test_nor_does_a_button_of_another_question(
    staff: Client, asking: Callable[..., Task]
) -> None:
    assert "no longer open" in send(staff, asking(), 0, question=0).text
    assert not Message.objects.exists()


def test_nothing_is_done_by_a_get(staff: Client, asking: Callable[..., Task]) -> None:
    assert staff.get(f"/admin/cq/task/{asking().pk}/answer/").status_code == 405


def test_hostile_texts_are_texts(staff: Client, asking: Callable[..., Task]) -> None:
    for hostile in PAYLOADS:
        task = asking(hostile[:200], (hostile[:200], "a\nb"))
        shown = part(staff.get(page(task)))
        for tag in ("<script", "<img", "<svg", "<a ", 'onfocus="', "\u202e", "\x1b"):
            assert tag not in shown.lower(), hostile
        assert shown.count("<button") == 2
        assert "was taken" in send(staff, task, 1).text
        assert Message.objects.get(task=task).payload == "a\nb"


@pytest.mark.parametrize("form", ["null", "7", "[[1], null]", "[["])
def test_one_whose_row_was_edited_is_not_shown(
    staff: Client, asking: Callable[..., Task], form: str
) -> None:
    task = asking()
    Step.objects.filter(task=task).update(form=Encoded(form))
    answer = staff.get(page(task))
    assert answer.status_code == 200
    assert not part(answer)
    assert "no longer open" in send(staff, task, 0).text
