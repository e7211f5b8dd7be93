"""The addresses of a bar: one refusal for all, and a button that needs its flag."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import driving
import pytest
import sample_tasks
from django.test import Client, RequestFactory

from cq import task
from cq.ids import uuid7
from cq.models import Task
from cq.progress import token as tokens
from cq.status import Status
from cq.views import CANCELLED, CancelView, FragmentView, StateView

pytestmark = pytest.mark.django_db(transaction=True)

PLACES = ("", "fragment/", "cancel/")
VIEWS = {"": StateView, "fragment/": FragmentView, "cancel/": CancelView}


@task("progress.views.says")
def says(cqt: Any, secret: str) -> str:
    cqt.log("<b>for you</b>", public=True)
    return "returned"


def get(path: str, **headers: str) -> Any:
    return Client().get(path, headers=headers)


def ask(token: str, place: str, user: Any = None) -> Any:
    """What a session is answered that may change what it is shown."""
    how = RequestFactory(enforce_csrf_checks=False)
    request = (how.post if place == "cancel/" else how.get)("/")
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    request.user = user or SimpleNamespace(pk=None, is_authenticated=False)  # type: ignore[assignment]
    answer = VIEWS[place].as_view()(request, token=token)
    if hasattr(answer, "render"):
        answer.render()
    return answer


def test_the_state_of_a_task_is_json_that_nobody_keeps() -> None:
    handle = says.delay("x")
    answer = get(f"/tasks/{handle.token()}/")
    assert answer.status_code == 200
    assert answer.json()["of"] == str(handle.pk)
    assert answer.json()["v"] == 1
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "same-origin"


def test_what_has_not_changed_is_not_sent_again() -> None:
    handle = says.delay("x")
    path = f"/tasks/{handle.token()}/"
    etag = get(path)["ETag"]
    again = get(path, if_none_match=etag)
    assert (again.status_code, again.content) == (304, b"")
    assert "no-store" in again["Cache-Control"]
    driving.run(handle)
    assert get(path, if_none_match=etag).status_code == 200


def test_a_token_shows_what_it_says_and_no_more() -> None:
    handle = driving.run(says.delay("x"))
    assert not {"log", "result"} & set(get(f"/tasks/{handle.token()}/").json())
    both = get(f"/tasks/{handle.token(log=True, result=True)}/").json()
    assert [line["text"] for line in both["log"]] == ["<b>for you</b>"]
    assert both["result"] == "returned"


@pytest.mark.parametrize("after", ["1", "0", "", "-1", "x", "9" * 30, "\u0664", "1.5"])
def test_whatever_is_asked_for_is_answered(after: str) -> None:
    handle = driving.run(says.delay("x"))
    path = f"/tasks/{handle.token(log=True)}/"
    answer = Client().get(path, {"after": after})
    assert answer.status_code == 200
    assert len(answer.json()["log"]) == (0 if after == "1" else 1)


def refused(
    handle: Task, monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[str, Any]]:
    """By what is wrong with it, a token and who has it."""
    good = handle.token(log=True, cancel=True, result=True)
    said, _, signature = good.rpartition(":")
    nobody = Task(pk=uuid7()).token(cancel=True)
    other = Task(pk=uuid7()).token(cancel=True).rpartition(":")[0]
    bound = handle.token(user=7, cancel=True)
    with monkeypatch.context() as before:
        before.setattr(tokens.time, "time", lambda: 1_000_000.0)
        old = handle.token(cancel=True)
    somebody = SimpleNamespace(pk=8, is_authenticated=True)
    return {
        "forged": (f"{said}:{signature[::-1]}", None),
        "no token": ("x", None),
        "of another task": (f"{other}:{signature}", None),
        "expired": (old, None),
        "no such task": (nobody, None),
        "of another user": (bound, somebody),
        "of a user, and nobody asks": (bound, None),
    }


@pytest.mark.parametrize("place", PLACES)
def test_one_refusal_for_all_that_is_wrong(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = says.delay("x")
    found = {
        why: ask(token, place, user)
        for why, (token, user) in refused(handle, monkeypatch).items()
    }
    told = {(a.status_code, a.content, str(a.headers)) for a in found.values()}
    assert len(told) == 1
    assert {a.status_code for a in found.values()} == {404}
    assert driving.fresh(handle).status == Status.QUEUED


@pytest.mark.parametrize("place", PLACES)
def test_a_bound_token_is_taken_from_its_user(place: str) -> None:
    handle = says.delay("x")
    user = SimpleNamespace(pk=7, is_authenticated=True)
    answer = ask(handle.token(user=7, cancel=True), place, user)
    assert answer.status_code == 200


def test_a_token_that_does_not_allow_it_cancels_nothing() -> None:
    handle = says.delay("x")
    answer = ask(handle.token(log=True, result=True), "cancel/")
    assert (answer.status_code, answer.content) == (404, b"Not found\n")
    assert driving.fresh(handle).status == Status.QUEUED


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_nothing_but_a_post_cancels(method: str) -> None:
    handle = says.delay("x")
    path = f"/tasks/{handle.token(cancel=True)}/cancel/"
    answer = getattr(Client(), method)(path)
    assert answer.status_code == (200 if method == "options" else 405)
    assert driving.fresh(handle).status == Status.QUEUED


def test_a_post_of_another_site_cancels_nothing() -> None:
    handle = says.delay("x")
    path = f"/tasks/{handle.token(cancel=True)}/cancel/"
    client = Client(enforce_csrf_checks=True)
    assert client.post(path).status_code == 403
    assert driving.fresh(handle).status == Status.QUEUED
    page = client.get(path.replace("cancel", "fragment"))
    assert "csrftoken" in client.cookies
    form = {"csrfmiddlewaretoken": str(page.context["csrf_token"])}
    assert client.post(path, form).status_code == 200
    assert driving.fresh(handle).status == Status.REVOKED


def test_who_cancels_is_answered_as_they_asked() -> None:
    def cancel(next_: str = "", **headers: str) -> Any:
        handle = says.delay("x")
        path = f"/tasks/{handle.token(cancel=True)}/cancel/"
        answer = Client().post(path, {"next": next_}, headers=headers)
        after = driving.fresh(handle)
        assert (after.status, after.error) == (Status.REVOKED, CANCELLED)
        return answer

    assert cancel(accept="application/json").json()["status"] == "REVOKED"
    assert cancel("/imports/?a=1")["Location"] == "/imports/?a=1"
    assert cancel("/imports/", hx_request="true").status_code == 200
    for hostile in (
        "//evil.test/",
        "https://evil.test/",
        "javascript:alert(1)",
        "\\\\e",
    ):
        answer = cancel(hostile)
        assert answer.status_code == 200
        assert hostile not in answer.content.decode()
        assert "It was cancelled" in answer.content.decode()


def test_what_has_ended_stays_as_it_is() -> None:
    handle = driving.run(says.delay("x"))
    answer = ask(handle.token(cancel=True), "cancel/")
    assert answer.status_code == 200
    assert driving.fresh(handle).status == Status.COMPLETE


# --- the contract with htmx ---------------------------------------------------------------


def test_a_fragment_asks_for_itself_while_the_task_is_open() -> None:
    handle = says.delay("x")
    path = f"/tasks/{handle.token()}/fragment/"
    answer = Client().get(path, {"label": "A & B", "redirect": "/done/"})
    text = answer.content.decode()
    again = f"{path}?label=A+%26+B&amp;redirect=%2Fdone%2F"
    assert f'hx-get="{again}"' in text
    assert 'hx-trigger="every 2s"' in text
    assert 'hx-swap="outerHTML"' in text
    assert "HX-Trigger" not in answer
    assert "no-store" in answer["Cache-Control"]
    # As one element, so that it replaces itself.
    assert text.strip().startswith("<cq-progress ")
    assert text.strip().endswith("</cq-progress>")


def test_a_fragment_of_what_is_done_asks_no_more() -> None:
    done = driving.run(says.delay("x"))
    failed = driving.run(sample_tasks.fails.delay())
    for handle, event in ((done, "cq:done"), (failed, "cq:failed, cq:done")):
        answer = get(f"/tasks/{handle.token(cancel=True)}/fragment/")
        assert "hx-" not in answer.content.decode()
        assert "<form" not in answer.content.decode()
        assert answer["HX-Trigger"] == event


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "\x01javascript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "https://evil.test/",
        "//evil.test/",
        "/\\evil.test/",
        "\\\\evil.test",
        "///evil.test",
        "http:///evil.test",
    ],
)
def test_a_redirect_leads_to_no_other_site_and_runs_nothing(target: str) -> None:
    handle = says.delay("x")
    answer = Client().get(f"/tasks/{handle.token()}/fragment/", {"redirect": target})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "cq-next" not in text
    assert "data-redirect" not in text
    assert "redirect" not in text


def test_a_label_is_text() -> None:
    handle = says.delay("x")
    hostile = '"><script>alert(1)</script>' + "x" * 1000
    answer = Client().get(f"/tasks/{handle.token()}/fragment/", {"label": hostile})
    text = answer.content.decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert len(text) < 3000


# --- a view of one's own ------------------------------------------------------------------


def test_a_view_of_ones_own_says_who_may_see_a_task() -> None:
    handle = driving.run(says.delay("x"))
    path = f"/own/{handle.pk}/"
    found = get(path, x_key=str(handle.pk))
    assert found.status_code == 200
    assert "no-store" in found["Cache-Control"]
    assert (found.json()["result"], len(found.json()["log"])) == ("returned", 1)
    assert (
        get(path, x_key=str(handle.pk), if_none_match=found["ETag"]).status_code == 304
    )


def test_without_a_permission_it_is_as_if_there_was_no_task() -> None:
    handle = says.delay("x")
    answers = [
        get(f"/own/{handle.pk}/"),
        get(f"/own/{uuid7()}/"),
        get("/own/x/"),
        get(f"/nobody/{handle.pk}/"),
    ]
    assert {(a.status_code, a.content) for a in answers} == {(404, b"Not found\n")}
    assert Client().post(f"/own/{handle.pk}/").status_code == 405


def test_a_refusal_is_no_page_of_the_project(settings: Any) -> None:
    settings.DEBUG = True
    assert get("/tasks/x/").content == b"Not found\n"
    json.dumps(dict(get("/tasks/x/").headers))
