"""Pausing and resuming on the page of the queues: by whom, what is asked, where it shows."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import counted
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from cq import queues, task
from cq.models import Pause

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

QUEUES = "/admin/cq/queue/"
PAUSE, RESUME = (f"{QUEUES}{verb}/?queue=mail" for verb in ("pause", "resume"))
EVIL = "<script>alert(1)</script>"


@task("admin_pausing.mail", queue="mail")
def mail(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _by_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    counted.by_heartbeat(monkeypatch)
    counted.at_one_moment(monkeypatch)


def text(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", answer.content.decode()))


def test_it_asks_first_and_then_writes_who_wanted_it_and_why(staff: Client) -> None:
    asking = staff.get(PAUSE).content.decode()
    assert "csrfmiddlewaretoken" in asking
    assert "What runs goes on." in asking
    assert not Pause.objects.exists()

    answer = staff.post(PAUSE, {"reason": "provider is down", "until": ""}, follow=True)

    assert answer.redirect_chain == [(QUEUES, 302)]
    assert "It is paused." in answer.content.decode()
    made = queues.paused()["mail"]
    assert (made.reason, made.by, made.until) == ("provider is down", "staff", None)
    (entry,) = LogEntry.objects.all()
    assert entry.user.username == "staff"
    assert "provider is down" in entry.change_message
    assert entry.object_repr == "queue 'mail'"

    answer = staff.post(RESUME, {"reason": "it is up"}, follow=True)

    assert queues.paused() == {}
    assert LogEntry.objects.count() == 2
    assert "it is up" in LogEntry.objects.latest("pk").change_message


def test_several_are_paused_at_once_or_none_is(staff: Client) -> None:
    several = f"{QUEUES}pause/?queue=mail&task=admin_pausing.mail"
    assert staff.post(several, {"reason": "down"}).status_code == 302
    assert (list(queues.paused()), list(queues.paused_tasks())) == (
        ["mail"],
        ["admin_pausing.mail"],
    )

    refused = staff.post(f"{QUEUES}pause/?queue=default&queue=nobodys", {"reason": ""})

    assert refused.status_code == 200
    assert "nobody has a queue" in refused.content.decode()
    assert list(queues.paused()) == ["mail"]


def test_until_is_a_moment_to_come(staff: Client) -> None:
    past = (timezone.localtime() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    refused = staff.post(PAUSE, {"until": past})
    assert "That moment has passed." in refused.content.decode()
    far = staff.post(PAUSE, {"until": "9999-12-31T23:59"})
    assert "That is more than ten years from now." in far.content.decode()
    assert not Pause.objects.exists()

    later = timezone.localtime() + timedelta(hours=1)
    staff.post(PAUSE, {"until": later.strftime("%Y-%m-%dT%H:%M")})
    found = queues.paused()["mail"].until
    assert found == later.replace(second=0, microsecond=0)


@pytest.mark.parametrize("url", [PAUSE, RESUME])
def test_it_takes_the_permission_and_a_token(
    login: Callable[..., Client], url: str
) -> None:
    queues.pause("mail", reason="as it was")
    for permissions in (
        ["view_queue"],
        ["pause_queue"],
        ["view_queue", "view_task", "revoke_task", "control_worker"],
    ):
        client = login(*permissions)
        assert client.get(url).status_code == 403
        assert client.post(url, {"reason": "mine"}).status_code == 403
        assert client.get(f"{QUEUES}pause/?queue=nobodys").status_code == 403
        if "view_queue" in permissions:
            assert "/pause/?" not in client.get(QUEUES).content.decode()
            assert "/resume/?" not in client.get(QUEUES).content.decode()
        User.objects.all().delete()
    assert Client().post(url).status_code == 302
    client = login("view_queue", "pause_queue")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post(url, {"reason": "mine"}).status_code == 403
    assert queues.paused()["mail"].reason == "as it was"
    assert client.get(url).status_code == 200
    assert queues.paused()["mail"].reason == "as it was"
    assert client.post(url, {"reason": "mine"}).status_code == 302


@pytest.mark.parametrize(
    "query", ["", "?queue=", "?" + "&".join(f"queue={n}" for n in range(51))]
)
def test_what_names_nothing_changes_nothing(staff: Client, query: str) -> None:
    answer = staff.post(f"{QUEUES}pause/{query}")
    assert answer.status_code in (200, 404)
    assert not Pause.objects.exists()
    assert staff.put(PAUSE).status_code == 405


def test_it_is_shown_wherever_the_queue_is(
    staff: Client, row: Callable[..., Any]
) -> None:
    counted.alive("mail")
    waiting = row("QUEUED", name="admin_pausing.mail", queue="mail")
    queues.pause("mail", reason=EVIL, by="ann")
    said = "The queue mail is paused: since"

    for url in (
        "/admin/cq/overview/",
        "/admin/cq/task/?status=QUEUED",
        f"/admin/cq/task/{waiting.pk}/change/",
    ):
        assert said in text(staff, url), url
        assert "by ann" in text(staff, url), url
        assert EVIL not in staff.get(url).content.decode(), url
    page = staff.get(QUEUES).content.decode()
    assert 'href="/admin/cq/queue/resume/?queue=mail"' in page
    assert "by ann" in text(staff, QUEUES)
    assert EVIL not in page


def test_a_paused_task_is_shown_too(staff: Client, row: Callable[..., Any]) -> None:
    counted.alive("mail")
    waiting = row("QUEUED", name="admin_pausing.mail", queue="mail")
    running = row("COMPLETE", name="admin_pausing.mail", queue="mail")
    queues.pause(task="admin_pausing.mail", reason="down")
    said = "The task admin_pausing.mail is paused: since"

    for url in (
        QUEUES,
        "/admin/cq/overview/",
        "/admin/cq/task/?status=QUEUED",
        f"/admin/cq/task/{waiting.pk}/change/",
    ):
        assert said in text(staff, url), url
    assert "task=admin_pausing.mail" in staff.get(QUEUES).content.decode()
    assert said not in text(staff, f"/admin/cq/task/{running.pk}/change/")


def test_what_is_paused_is_not_said_to_be_late_or_unserved(
    staff: Client, row: Callable[..., Any]
) -> None:
    counted.alive("other")
    old = timezone.now() - timedelta(hours=2)
    row("QUEUED", name="admin_pausing.mail", queue="mail", submitted=old)
    assert "which no worker serves" in text(staff, "/admin/cq/overview/")

    queues.pause("mail")

    overview = text(staff, "/admin/cq/overview/")
    assert "which no worker serves" not in overview
    assert "The queue mail is paused" in overview


def test_a_name_that_no_database_stores_is_not_found(staff: Client) -> None:
    assert staff.get(f"{RESUME}%00").status_code == 404
