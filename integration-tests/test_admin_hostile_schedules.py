"""No stored text of a schedule becomes a part of a page, and no page trusts a request."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone
from hostile_texts import PAYLOADS, inline_code, tags, without_token

from cq import task
from cq.codec import Encoded
from cq.models import Task
from cq_scheduler import run_now
from cq_scheduler.models import RepeatingTask

pytestmark = pytest.mark.django_db

URL = "/admin/cq_scheduler/repeatingtask/"


@task("hostile_schedules.clean")
def clean(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def staff(client: Client) -> Client:
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


@pytest.fixture
def reader() -> Client:
    """Somebody who may look, and change nothing."""
    user = get_user_model().objects.create_user("kim", password="", is_staff=True)
    names = ("view_repeatingtask", "view_task", "view_task_args")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def hostile(text: str, **columns: Any) -> RepeatingTask:
    """A schedule with a text wherever one fits, and a run."""
    row = RepeatingTask.objects.create(name=clean.name, crontab="@daily")
    run = run_now(row)
    Task.objects.filter(pk=run.pk).update(name=text, error=text)
    now = timezone.now()
    RepeatingTask.objects.filter(pk=row.pk).update(
        **{
            "name": text[:200],
            "crontab": text[:100],
            "timezone": text[:100],
            "queue": text[:100],
            "args": Encoded(json.dumps([text, {text: text}])),
            "kwargs": Encoded(json.dumps({text: text})),
            "last_error": text,
            "enabled": False,
            "next_run": None,
            "paused_at": now,
            "paused_by": text[:100],
            "pause_reason": text,
            "paused_until": now + timedelta(days=1),
            "missed_from": now,
            "missed_until": now,
            "last_coalesced": now,
            **columns,
        }
    )
    row.refresh_from_db()
    return row


def pages(staff: Client, reader: Client, row: RepeatingTask) -> dict[str, str]:
    """Every page that a schedule stands on, and what an action says of it."""
    url = f"{URL}{row.pk}"
    one = {"id__exact": row.pk}
    chosen = {"_selected_action": str(row.pk)}
    user = get_user_model().objects.get(username="staff").pk
    LogEntry.objects.log_actions(user, [row], 2, row.name, single_object=True)
    typed = {"crontab": row.crontab, "timezone": row.timezone}
    found = {
        "list": staff.get(URL, one),
        "form": staff.get(f"{url}/change/"),
        "add": staff.get(f"{URL}add/"),
        "page": reader.get(f"{url}/change/"),
        "history": staff.get(f"{url}/history/"),
        "delete": staff.get(f"{url}/delete/"),
        "delete many": staff.post(URL, {"action": "delete_selected", **chosen}),
        "told": staff.post(f"{url}/run/", follow=True),
        "told of many": staff.post(
            f"{URL}?id__exact={row.pk}",
            {"action": "resume_selected", **chosen},
            follow=True,
        ),
        "preview": staff.get(f"{URL}coming/", typed),
        "refused form": staff.post(f"{url}/change/", {**typed, "name": row.name}),
    }
    assert {page.status_code for page in found.values()} == {200}
    return {name: page.content.decode() for name, page in found.items()}


def test_row_s7_no_stored_text_becomes_markup(staff: Client, reader: Client) -> None:
    found = pages(staff, reader, hostile("plain"))
    plain = {name: tags(page) for name, page in found.items()}
    for text in PAYLOADS:
        RepeatingTask.objects.all().delete()
        foul = pages(staff, reader, hostile(text))
        for name, page in foul.items():
            assert tags(page) == plain[name], (text, name)
        for sign in "\x1b\u202e\u2028\u2029\u200f\ufeff":
            for name in ("list", "preview", "delete", "told of many"):
                assert sign not in foul[name], (text, name)


@pytest.mark.parametrize("text", PAYLOADS)
@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("coming.html", ["error"]),
        ("coming.html", ["words", "runs", "zone"]),
        ("schedule_runs.html", ["rows"]),
        ("given_up.html", ["seconds", "title"]),
    ],
)
def test_no_template_trusts_what_it_is_given(
    template: str, names: list[str], text: str
) -> None:
    def rendered(text: str) -> str:
        values: dict[str, Any] = {
            "words": [text],
            "runs": [(text, text, text)],
            "rows": [dict.fromkeys(("task", "state", "submitted", "duration"), text)],
        }
        context = {name: values.get(name, text) for name in names}
        return render_to_string(f"cq_admin/{template}", context)

    assert tags(rendered(text)) == tags(rendered("plain"))


def test_row_s8_no_page_has_inline_style_or_script(
    staff: Client, reader: Client
) -> None:
    for name, page in pages(staff, reader, hostile("plain")).items():
        assert not inline_code(page), name


def test_row_s9_whatever_changes_anything_needs_a_token(
    staff: Client, reader: Client
) -> None:
    row = hostile("plain")
    for name, page in pages(staff, reader, row).items():
        assert not without_token(page), name
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = staff.cookies
    before = Task.objects.count()
    for action in ("run", "pause", "resume", "delete"):
        answer = careful.post(f"{URL}{row.pk}/{action}/", {"post": "yes"})
        assert answer.status_code == 403
    for action in ("pause_selected", "resume_selected", "delete_selected"):
        chosen = {"action": action, "_selected_action": str(row.pk), "post": "yes"}
        assert careful.post(URL, chosen).status_code == 403
    assert careful.post(f"{URL}add/", {}).status_code == 403
    assert Task.objects.count() == before
    assert RepeatingTask.objects.filter(pk=row.pk, enabled=False).exists()


@pytest.mark.parametrize("method", ["get", "head", "put", "options"])
def test_row_s9_only_a_post_does_anything(staff: Client, method: str) -> None:
    row = hostile("plain")
    before = Task.objects.count()
    for action in ("run", "pause", "resume"):
        answer = getattr(staff, method)(f"{URL}{row.pk}/{action}/")
        assert answer.status_code == 405
    assert Task.objects.count() == before
