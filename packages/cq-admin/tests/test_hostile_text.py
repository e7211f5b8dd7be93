"""No stored text becomes a part of a page, and no page needs a looser policy."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from hostile_texts import PAYLOADS, inline_code, tags, without_token

from cq.models import Attempt, Edge, Stack, Task, Worker
from cq.status import AttemptOutcome, Status
from cq.tables.worker_rows import Request

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def hostile(row: Callable[..., Task], say: Callable[..., None], text: str) -> Task:
    """A task with a text wherever one fits, and others around it."""
    value = json.dumps([text, {text: text}, {"$": text, "v": text}])
    now = timezone.now()
    columns = {
        "name": text[:200],
        "queue": text[:100],
        "args": value,
        "kwargs": json.dumps({text: text}),
        "result": value,
        "error": text,
        "exception": text,
        "traceback": text,
        "progress_done": 1,
        "progress_total": 2,
        "progress_message": text,
    }
    worker = Worker.objects.create(
        id=Worker.objects.count() + 1,
        kind=text[:10],
        host=text,
        pid=1,
        queues=[text],
        release=text[:60],
        versions={"cq": text, text: text},
        answers=list(Request),
        started=now,
        last_seen=now,
    )
    # Half a surrogate pair is no tag.
    columns["options"] = {"tags": [text[:100]], "tags_from_parent": [text[:50]]}
    root = row(Status.RUNNING, worker=worker, unique_key=text, started=now, **columns)
    child = row(Status.FAILURE, parent=root, root=root, previous=root, **columns)
    Edge.objects.create(task=child, depends_on=root, when="complete")
    said = {"worker": text, "exception": text, "error": text, "traceback": text}
    said |= {"by": text, "reason": text}
    for outcome in (AttemptOutcome.FAILED, AttemptOutcome.TAKEN_BACK):
        Attempt.objects.create(task=root, number=1, ended=now, outcome=outcome, **said)
    Stack.objects.create(task=root, taken=now, worker=text, text=text)
    say(root, 1, message=text)
    say(child, 1, root, message=text)
    return root


def pages(client: Client, root: Task) -> dict[str, str]:
    """Every page that a task stands on, and what an action says of it."""
    url = f"/admin/cq/task/{root.pk}"
    LogEntry.objects.all().delete()
    user = get_user_model().objects.get(username="staff").pk
    LogEntry.objects.log_actions(user, [root], 2, root.name, single_object=True)
    refused = client.post(f"{url}/retry/")
    chosen = {"_selected_action": str(root.pk)}
    found = {
        "page": client.get(f"{url}/change/"),
        "log": client.get(f"{url}/log/"),
        "history": client.get(f"{url}/history/"),
        "list": client.get("/admin/cq/task/", {"root": root.pk}),
        "told": refused,
        **{
            f"asked to {verb}": client.get(f"{url}/{verb}/")
            for verb in ("retry", "revoke", "now", "priority")
        },
        "told of many": client.post(
            f"/admin/cq/task/?root={root.pk}",
            {"action": "retry_selected", **chosen},
            follow=True,
        ),
        "many": client.get("/admin/cq/task/many/revoke/", {"root": root.pk}),
        "workers": client.get("/admin/cq/worker/", {"id__exact": root.worker_id}),
        "worker": client.get(f"/admin/cq/worker/{root.worker_id}/change/"),
        "asked of a worker": client.get(f"/admin/cq/worker/{root.worker_id}/quiet/"),
        "index": client.get("/admin/"),
    }
    assert {page.status_code for page in found.values()} == {200}
    return {name: page.content.decode() for name, page in found.items()}


def test_row_s7_no_stored_text_becomes_markup(
    staff: Client,
    row: Callable[..., Task],
    say: Callable[..., None],
    settings: Any,
) -> None:
    # Its worker is as alive on the last page as on the first.
    settings.CQ_LEASE = 3600.0
    # PostgreSQL stores no NUL, and nobody could have put one there.
    plain = {
        n: tags(page) for n, page in pages(staff, hostile(row, say, "plain")).items()
    }
    for text in PAYLOADS:
        # A list names the queues that there are.
        Task.objects.all().delete()
        Worker.objects.all().delete()
        for name, page in pages(staff, hostile(row, say, text)).items():
            # Colours of a terminal are kept, as a class of their letters.
            page = re.sub(r'<span class="cq-ansi-red">([^<]*)</span>', r"\1", page)
            assert tags(page) == plain[name], (text, name)
            if name not in ("history", "index"):  # Django's own, but escaped
                for sign in "\x1b\u202e\u2028\u2029\u200f\ufeff":
                    assert sign not in page, (text, name)


def test_row_s7_no_text_of_an_address_becomes_markup(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    hostile(row, say, "plain")
    lists = {
        "/admin/cq/task/": ("name", "queue", "q", "level", "tag"),
        "/admin/cq/task/many/retry/": ("name", "queue", "status", "since", "root", ""),
    }
    for text in PAYLOADS:
        for url, parameters in lists.items():
            for parameter in parameters:
                page = staff.get(url, {parameter or text: text}).content.decode()
                for markup in ("<script>alert", "<img src=x", "<svg/onload"):
                    assert markup not in page, (url, parameter, text)


def test_row_s8_no_page_has_inline_style_or_script(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    for name, page in pages(staff, hostile(row, say, "plain")).items():
        assert not inline_code(page), name


def test_row_s9_whatever_changes_anything_needs_a_token(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = hostile(row, say, "plain")
    found = pages(staff, root)
    for url in ("overview/", "queue/", f"task/of/?{urlencode({'name': root.name})}"):
        found[url] = staff.get(f"/admin/cq/{url}").content.decode()
    for name, page in found.items():
        assert "<form" in page, name
        assert not without_token(page), name
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = staff.cookies
    for action in ("retry", "revoke", "now", "priority"):
        answer = careful.post(f"/admin/cq/task/{root.pk}/{action}/")
        assert answer.status_code == 403
    for asked in Request:
        answer = careful.post(f"/admin/cq/worker/{root.worker_id}/{asked}/")
        assert answer.status_code == 403
    chosen = {"action": "revoke_selected", "_selected_action": str(root.pk)}
    assert careful.post("/admin/cq/task/", chosen).status_code == 403
    root.refresh_from_db()
    assert root.status == Status.RUNNING
    assert root.worker is not None
    assert root.worker.asked is None
