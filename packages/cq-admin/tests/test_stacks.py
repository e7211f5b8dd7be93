"""Where a task is in its code: who may ask for that, and who sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from cq.models import Stack, Task, Worker
from cq.tables.worker_rows import Request
from cq.workers import requests
from cq.workers import stacks as kept
from cq_admin.worker_pages import stacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

WORKER = "/admin/cq/worker/1/"
TEXT = '  File "/srv/shop/<pay>.py", line 7, in pay\n    charge("s3cret")\n'


def hide(name: str, text: str) -> str:
    return text.replace("s3cret", f"hidden of {name}")


@pytest.fixture
def runs(row: Callable[..., Any]) -> Any:
    """A task that a worker runs."""
    now = timezone.now()
    worker = Worker.objects.create(
        id=1,
        kind="worker",
        host="web",
        pid=101,
        started=now,
        last_seen=now,
        answers=list(Request),
    )
    return row("RUNNING", name="stacks.pay", worker=worker, started=now)


def pages(client: Client, task: Any) -> list[str]:
    urls = (f"{WORKER}change/", f"/admin/cq/task/{task.pk}/change/")
    return [client.get(url).content.decode() for url in urls]


@pytest.mark.django_db
def test_it_is_shown_on_both_pages_to_who_may_see_it(
    login: Callable[..., Client], runs: Any, settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = f"{__name__}.hide"
    kept.keep("default", "web:101", {runs.pk: "an older one"})
    kept.keep("default", "web:101", {runs.pk: TEXT})
    for text in pages(login("view_worker", "view_task", "view_stack"), runs):
        assert "/srv/shop/&lt;pay&gt;.py" in text
        assert "hidden of stacks.pay" in text
        assert "s3cret" not in text
        assert "an older one" not in text
        assert "in web:101" in text
        assert f'action="{WORKER}stack/"' in text
    User.objects.all().delete()
    for text in pages(login("view_worker", "view_task"), runs):
        assert "charge" not in text
        assert f'action="{WORKER}stack/"' not in text
    # What has ended keeps its last one; it goes with its task.
    Task.objects.filter(pk=runs.pk).update(
        status="COMPLETE", worker=None, finished=timezone.now()
    )
    User.objects.all().delete()
    text = pages(login("view_worker", "view_task", "view_stack"), runs)[1]
    assert "hidden of stacks.pay" in text
    assert f'action="{WORKER}stack/"' not in text


@pytest.mark.django_db
def test_the_page_of_a_worker_has_some_of_a_thousand_and_their_innermost_calls(
    staff: Client, runs: Any, row: Callable[..., Any], queries: Any
) -> None:
    now = timezone.now()
    others = [
        row("RUNNING", name="stacks.other", worker=runs.worker, started=now)
        for _ in range(150)
    ]
    long = f"outermost\n{'x' * 60_000}\ninnermost"
    kept.keep("default", "web:101", {task.pk: long for task in (runs, *others)})
    address = f"{WORKER}change/"
    staff.get(address)
    assert len(queries(lambda: staff.get(address))) <= 12
    text = staff.get(address).content.decode()
    assert len(text) < 400_000
    assert text.count("innermost</pre>") == stacks.MOST_STACKS
    assert "outermost" not in text
    whole = staff.get(f"/admin/cq/task/{runs.pk}/change/").content.decode()
    assert "outermost" in whole


@pytest.mark.django_db
def test_it_takes_the_permission_to_ask(
    login: Callable[..., Client], runs: Any
) -> None:
    for permissions in (
        ["view_worker", "view_task", "control_worker"],
        ["view_stack", "view_task"],
    ):
        assert login(*permissions).post(f"{WORKER}stack/").status_code == 403
        User.objects.all().delete()
    client = login("view_worker", "view_stack")
    assert client.get(f"{WORKER}stack/").status_code == 405
    assert not LogEntry.objects.exists()
    # Within a transaction, as here, nobody is waited for.
    answer = client.post(f"{WORKER}stack/", {"task": str(runs.pk)})
    assert answer["Location"] == f"/admin/cq/task/{runs.pk}/change/"
    assert Worker.objects.get().asked == "stack"
    assert "stacks" in LogEntry.objects.get().change_message
    assert "It has not answered yet." in client.get(f"{WORKER}change/").content.decode()
    runs.delete()
    assert "It runs nothing now." in client.post(f"{WORKER}stack/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_page_waits_until_the_answer_is_there(
    staff: Client, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(seconds: float) -> None:
        # As a worker does meanwhile.
        assert requests.take("default", [1]) == {1: "stack"}
        kept.keep("default", "web:101", {runs.pk: TEXT})

    monkeypatch.setattr(stacks.time, "sleep", answer)
    text = staff.post(f"{WORKER}stack/", follow=True).content.decode()
    assert "/srv/shop/&lt;pay&gt;.py" in text
    assert "It has not answered yet." not in text
    assert Stack.objects.get().worker == "web:101"
