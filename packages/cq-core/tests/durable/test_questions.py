"""Questions that a task asks, and who answers them: by code, a command, or a signed link."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from django.urls import resolve
from driving import fresh, run, run_on_a_loop

import cq
from cq import task
from cq.durable.events import questions
from cq.maintenance.audited import steps as audited
from cq.maintenance.audited import suspended
from cq.models import Message, Step, Task
from cq.status import Status
from cq.testing import run_tasks

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)
QUESTION = "Refund <b>1,200</b>?"
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.ROOT_URLCONF = "progress_urls"
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
        }
    ]
    script.clear()


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task(durable=True)
def asks(cqt: Any) -> Any:
    return cqt.ask(QUESTION, ["yes", "no"], permission="shop.refund")


def answer(handle: Any, choice: str, author: str = "ann") -> None:
    questions.answer("default", handle.pk, choice, author)


def said(*command: str) -> str:
    out = io.StringIO()
    call_command("cq", *command, stdout=out)
    return out.getvalue()


def assert_clean() -> None:
    for check in (*audited.CHECKS, *suspended.CHECKS):
        assert not check.found("default", None).exists(), check


# --- asking -------------------------------------------------------------------------------


def test_it_waits_for_its_answer() -> None:
    handle = run(asks.delay())
    assert handle.status == Status.SUSPENDED
    assert questions.question_of("default", handle.pk) == (
        Step.objects.get().pk,
        QUESTION,
        ["yes", "no"],
        "shop.refund",
    )
    assert_clean()
    handle.send(QUESTION, "anything")
    assert fresh(handle).status == Status.SUSPENDED
    assert "waits for an answer to" in handle.why()
    answer(handle, "yes")
    assert fresh(handle).status == Status.QUEUED
    assert run(fresh(handle)).result == "yes"
    [step] = handle.steps
    assert questions.authors_of("default", handle.pk) == {step.pk: "ann"}
    assert_clean()


def test_one_answer_counts() -> None:
    handle = run(asks.delay())
    answer(handle, "yes")
    with pytest.raises(cq.NotAsked, match="has its answer"):
        answer(handle, "no")
    assert questions.question_of("default", handle.pk) is None
    assert run(fresh(handle)).result == "yes"
    with pytest.raises(cq.NotAsked, match="does not ask"):
        answer(handle, "no")


def test_what_is_no_choice_or_is_not_asked() -> None:
    waiting, other = run(asks.delay()), asks.delay()
    with pytest.raises(cq.NotAsked, match="'yes', 'no'"):
        answer(waiting, "maybe")
    with pytest.raises(cq.NotAsked, match="does not ask"):
        answer(other, "yes")
    waiting.revoke()
    with pytest.raises(cq.NotAsked, match="does not ask"):
        answer(waiting, "yes")
    assert not Message.objects.exists()


def test_the_same_question_twice_wants_two_answers() -> None:
    script["code"] = lambda cqt: [cqt.ask("Go on?", ["yes", "no"]) for _ in range(2)]
    handle = run(of_code.delay())
    answer(handle, "yes")
    handle = run(fresh(handle))
    assert handle.status == Status.SUSPENDED
    answer(handle, "no")
    assert run(fresh(handle)).result == ["yes", "no"]


def test_a_timeout_gives_the_default_or_is_raised() -> None:
    script["code"] = lambda cqt: cqt.ask("a", ["b"], timeout=60, default="nobody")
    of_code.delay()
    [handle] = run_tasks(NOW, until=NOW + timedelta(minutes=2))
    assert handle.result == "nobody"
    script["code"] = lambda cqt: cqt.ask("a", ["b"], timeout=timedelta(minutes=1))
    handle = of_code.delay()
    run_tasks(NOW, until=NOW + timedelta(minutes=2))
    handle = fresh(handle)
    assert handle.exception == "cq.errors.WaitTimeout"
    assert handle.error.startswith("nobody has answered 'a' in time")


def test_an_answer_that_is_told_to_count_beats_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cq.durable import messages

    give_up = messages._give_up
    script["code"] = lambda cqt: cqt.ask("a", ["b"], timeout=60, default="nobody")
    handle = run(of_code.delay(), NOW)

    def then_answered(*args: Any) -> None:
        answer(handle, "b")
        give_up(*args)

    monkeypatch.setattr(messages, "_give_up", then_answered)
    [handle] = run_tasks(NOW, until=NOW + timedelta(minutes=2))
    assert handle.result == "b"
    assert_clean()


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda t: t.ask(7, ["a"]), "TypeError"),
        (lambda t: t.ask("x" * 201, ["a"]), "ValueError"),
        (lambda t: t.ask("x", "yes"), "TypeError"),
        (lambda t: t.ask("x", []), "ValueError"),
        (lambda t: t.ask("x", ["a", "a"]), "ValueError"),
        (lambda t: t.ask("x", ["a", 1]), "TypeError"),
        (lambda t: t.ask("x", [""]), "ValueError"),
        (lambda t: t.ask("x", ["a"], permission="refund"), "ValueError"),
        (lambda t: t.ask("x", ["a"], timeout=-1), "ValueError"),
    ],
)
def test_bad_questions_are_refused(ask: Any, kind: str) -> None:
    script["code"] = ask
    handle = run(of_code.delay())
    assert (handle.status, handle.exception) == (Status.FAILURE, kind)
    assert not Step.objects.exists()


@task
def plain(cqt: Any) -> Any:
    return cqt.ask("a", ["b"])


def test_a_plain_task_and_a_serial_run_cannot_ask() -> None:
    handle = run(plain.delay())
    assert (handle.exception, "durable=True" in handle.error) == ("TypeError", True)
    with pytest.raises(cq.WaitError, match="asks 'Refund"):
        asks()


@task(durable=True)
async def in_a_coroutine(cqt: Any) -> Any:
    return await cqt.aask("a", ["b"])


@pytest.mark.parametrize("runs", [run, run_on_a_loop])
def test_a_coroutine_asks_too(runs: Any) -> None:
    handle = runs(in_a_coroutine.delay())
    assert handle.status == Status.SUSPENDED
    async_to_sync(_answer_in_a_thread)(handle)
    assert runs(fresh(handle)).result == "b"


async def _answer_in_a_thread(handle: Task) -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(answer)(handle, "b")


# --- by a command -------------------------------------------------------------------------


def test_the_command_answers_and_show_has_the_question() -> None:
    handle = run(asks.delay())
    [step] = json.loads(said("show", str(handle.pk), "--format", "json"))["steps"]
    assert (step["choices"], step["author"]) == (["yes", "no"], None)
    assert "yes | no" in said("show", str(handle.pk))
    with pytest.raises(CommandError, match="'yes', 'no'"):
        said("answer", str(handle.pk), "maybe")
    assert "answered: no" in said("answer", str(handle.pk), "no")
    with pytest.raises(CommandError, match="has its answer"):
        said("answer", str(handle.pk), "no")
    assert run(fresh(handle)).result == "no"
    [step] = json.loads(said("show", str(handle.pk), "--format", "json"))["steps"]
    assert step["author"].endswith("(cq answer)")


# --- by a link ----------------------------------------------------------------------------


def test_a_link_shows_a_button_and_answers_when_that_is_pressed() -> None:
    handle, client = run(asks.delay()), Client()
    url = cq.answer_url(handle, "yes")
    for _ in range(2):
        page = client.get(url)
        assert page.status_code == 200
        assert "Refund &lt;b&gt;1,200&lt;/b&gt;?" in page.text
        assert "<b>" not in page.text
        assert "no-store" in page["Cache-Control"]
    assert fresh(handle).status == Status.SUSPENDED
    page = client.post(url)
    assert (page.status_code, "Thank you" in page.text) == (200, True)
    assert fresh(handle).status == Status.QUEUED
    assert client.post(url).status_code == 410
    assert run(fresh(handle)).result == "yes"
    page = client.get(url)
    assert (page.status_code, "no longer open" in page.text) == (410, True)
    assert list(questions.authors_of("default", handle.pk).values()) == ["by a link"]


def test_it_has_no_script_and_no_style_of_its_own_and_wants_its_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    url = cq.answer_url(run(asks.delay()), "yes")
    page = client.get(url).text
    assert "<script" not in page
    assert "style" not in page
    assert client.post(url).status_code == 403
    token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    assert client.post(url, {"csrfmiddlewaretoken": token}).status_code == 200


def test_the_author_is_who_is_logged_in(django_user_model: Any) -> None:
    handle = run(asks.delay())
    url = cq.answer_url(handle, "no")
    request = RequestFactory().post(url)
    request.user = django_user_model.objects.create_user("bob")
    request._dont_enforce_csrf_checks = True
    view, args, kwargs = resolve(url)
    assert view(request, *args, **kwargs).status_code == 200
    assert run(fresh(handle)).result == "no"
    assert list(questions.authors_of("default", handle.pk).values()) == ["bob"]


def test_one_that_is_forged_or_of_another_task() -> None:
    handle, other = run(asks.delay()), run(asks.delay())
    url, theirs = cq.answer_url(handle, "yes"), cq.answer_url(other, "no")
    link, mine = theirs.split("/")[-2], url.split("/")[-2]
    mixed = link.split(":")[0] + ":" + mine.partition(":")[2]
    for bad in (link[:-1], link + "x", "x", "x" * 3000, mixed):
        for ask in (Client().get, Client().post):
            page = ask(f"/tasks/answer/{bad}/")
            assert (page.status_code, "not valid" in page.text) == (404, True)
    assert Client().post(theirs).status_code == 200
    assert fresh(handle).status == Status.SUSPENDED


def test_one_whose_question_is_over() -> None:
    script["code"] = lambda cqt: cqt.ask("a", ["b"], timeout=60, default="nobody")
    handle = run(of_code.delay(), NOW)
    url = cq.answer_url(handle, "b")
    run_tasks(NOW, until=NOW + timedelta(minutes=2))
    assert Client().post(url).status_code == 410
    revoked = run(asks.delay())
    url = cq.answer_url(revoked, "yes")
    revoked.revoke()
    assert Client().get(url).status_code == 410
    assert not Message.objects.exists()


def test_one_made_in_a_step_before_it_asks_answers_that_question_and_no_other() -> None:
    mails: list[str] = []

    def code(cqt: Any) -> Any:
        found = []
        for month in (1, 2):
            cqt.step("mail", lambda m: mails.append(cq.answer_url(cqt, "yes")), month)
            found.append(cqt.ask("Pay?", ["yes", "no"]))
        return found

    script["code"] = code
    handle = run(of_code.delay())
    first, client = mails[0], Client()
    assert client.post(first).status_code == 200
    handle = run(fresh(handle))
    assert handle.status == Status.SUSPENDED
    assert len(mails) == 2
    assert client.post(first).status_code == 410
    assert client.post(mails[1]).status_code == 200
    assert run(fresh(handle)).result == ["yes", "yes"]
    assert_clean()


def test_nor_that_of_a_function_that_was_begun_anew() -> None:
    mails: list[str] = []

    def code(cqt: Any) -> Any:
        cqt.step("mail", lambda: mails.append(cq.answer_url(cqt, "yes")))
        return cqt.ask("Pay?", ["yes", "no"])

    script["code"] = code
    handle = run(of_code.delay())
    assert Client().get(mails[0]).status_code == 200
    Step.objects.all().delete()
    Task.objects.update(status="QUEUED", run_after=None)
    assert run(fresh(handle)).status == Status.SUSPENDED
    assert Client().get(mails[0]).status_code == 410
    assert Client().get(mails[1]).status_code == 200


def test_where_there_is_nothing_to_answer() -> None:
    waiting = run(asks.delay())
    with pytest.raises(ValueError, match="'yes', 'no'"):
        cq.answer_url(waiting, "maybe")
    with pytest.raises(cq.NotAsked):
        cq.answer_url(asks.delay(), "yes")
    with pytest.raises(TypeError):
        cq.answer_url("a", "yes")
    assert cq.answer_url(waiting, "yes", base="https://shop.example/").startswith(
        "https://shop.example/tasks/answer/"
    )


def test_where_its_page_has_no_address(settings: Any) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    with pytest.raises(ImproperlyConfigured, match=r"cq\.urls"):
        cq.answer_url(run(asks.delay()), "yes")


def test_no_other_site_shows_the_button_of_a_link_in_a_frame_of_its_own() -> None:
    handle = run(asks.delay())
    answer = Client().get(cq.answer_url(handle, "yes"))
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert Client().get("/tasks/answer/forged/").headers["X-Frame-Options"] == "DENY"
