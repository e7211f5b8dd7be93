"""The page of one task: what it shows of it and of what is around it, and how much."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from cq import chain, group, task
from cq.models import Edge, Task, Worker
from cq.status import Status
from cq_admin import detail
from cq_admin.values import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


@task("admin_page.login")
def log_in(cqt: Any, user: str, password: str) -> None: ...


@task("admin_page.step")
def step(cqt: Any, n: Any = 0) -> Any: ...


def url(row: Task) -> str:
    return f"/admin/cq/task/{row.pk}/change/"


def shown(client: Client, row: Task) -> str:
    page = client.get(url(row))
    assert page.status_code == 200
    return page.content.decode()


def facts(client: Client, row: Task) -> dict[str, str]:
    """The labelled facts of a page as HTML."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", shown(client, row), re.DOTALL)
    return dict(found)


def test_the_columns_are_there(staff: Client, row: Callable[..., Task]) -> None:
    start = timezone.now() - timedelta(hours=1)
    failed = row(
        Status.FAILURE,
        name="shop.import",
        args='["orders.csv",{"$":"uuid","v":"0a"}]',
        kwargs='{"dry":false}',
        queue="slow",
        priority=7,
        submitted=start,
        started=start + timedelta(seconds=2),
        finished=start + timedelta(seconds=63),
        error="line 3: no price",
        exception="shop.errors.BadLine",
        traceback="Traceback\n  File ...",
        attempts=4,
        losses=1,
    )
    found = facts(staff, failed)
    assert "failed" in found["Status"]
    assert "orders.csv" in found["Arguments"]
    assert "UUID(" in found["Arguments"]
    assert "False" in found["Keyword arguments"]
    assert "line 3: no price" in found["Error"]
    assert found["Exception"] == "shop.errors.BadLine"
    assert "Traceback\n  File" in found["Traceback"]
    assert found["Queue"] == "slow"
    assert found["Priority"] == "7"
    assert found["Attempts"] == "4"
    assert found["Workers lost"] == "1"
    assert found["Waited"] == "2\xa0s"
    assert found["Duration"] == "1\xa0min 1\xa0s"
    assert "Result" not in found
    assert "Unique key" not in found


def test_a_result_and_the_rest_show_where_they_are(
    staff: Client, row: Callable[..., Task]
) -> None:
    done = row(result='{"rows":3}', result_ttl=60)
    assert "&#x27;rows&#x27;: 3" in facts(staff, done)["Result"]
    now = timezone.now()
    waiting = row(Status.PENDING, unique_key="one", run_after=now, expires=now)
    found = facts(staff, waiting)
    assert found["Unique key"] == "one"
    assert "<time" in found["Not before"]
    assert "<time" in found["Expires"]


def test_who_runs_it(staff: Client, row: Callable[..., Task]) -> None:
    now = timezone.now()
    worker = Worker.objects.create(
        id=7, kind="cqworker", host="web-1", pid=12, started=now, last_seen=now
    )
    running = row(Status.RUNNING, worker=worker, started=now)
    assert "web-1:12" in facts(staff, running)["Worker"]
    worker.delete()  # its row may go first: no constraint holds it
    assert facts(staff, running)["Worker"] == "7"


def test_secrets_are_hidden(staff: Client, row: Callable[..., Task]) -> None:
    found = row(
        name="admin_page.login",
        args='["ann","tell-1"]',
        kwargs='{"config":{"API_KEY":"tell-2"}}',
        result='{"token":"tell-3","name":"ann"}',
    )
    text = shown(staff, found)
    assert "tell-" not in text
    assert text.count(HIDDEN) == 3
    assert "ann" in text


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        '{"$":"enum","v":["gone.module","Colour","RED"]}',
        '{"$":"model","v":["gone.Model",1,"default"]}',
        '{"$":"task","v":9}',
        '{"$":"of a later version","v":1}',
        "[" * 5000,
    ],
)
def test_what_cannot_be_decoded_does_not_break_the_page(
    staff: Client, row: Callable[..., Task], stored: str
) -> None:
    broken = row(args=stored, kwargs=stored, result=stored)
    assert "Arguments" in facts(staff, broken)


def test_a_value_is_cut(staff: Client, row: Callable[..., Task]) -> None:
    big = "x" * 500_000
    found = row(Status.FAILURE, args=f'["{big}"]', error=big, traceback=big)
    text = shown(staff, found)
    assert len(text) < 200_000
    assert "500,004 characters are stored" in text
    assert "characters left out" in text


# Around it ---------------------------------------------------------------------------


def test_above_it(staff: Client, row: Callable[..., Task]) -> None:
    root = row(name="the.root")
    parent = row(name="the.parent", parent=root, root=root)
    previous = row(name="the.previous", parent=parent, root=root)
    child = row(name="the.child", parent=parent, root=root, previous=previous)
    found = facts(staff, child)
    assert url(parent) in found["Parent"]
    assert "the.parent" in found["Parent"]
    assert url(root) in found["Top-level task"]
    assert url(previous) in found["Chained to"]


def test_a_relative_may_be_gone(staff: Client, row: Callable[..., Task]) -> None:
    parent = row()
    child = row(parent=parent, root=parent, previous=parent)
    Task.objects.filter(pk=parent.pk)._raw_delete("default")
    assert "which was deleted" in facts(staff, child)["Parent"]


def test_its_subtasks(staff: Client, row: Callable[..., Task]) -> None:
    parent = row(Status.WAITING, name="parent")
    for n in range(3):
        row(
            Status.FAILURE,
            name=f"child{n}",
            parent=parent,
            root=parent,
            error=f"child {n} broke" + "." * 500,
        )
    row(name="before", parent=parent, root=parent, counted=False)
    row(name="elsewhere")
    text = shown(staff, parent)
    assert [f"child{n}" in text for n in range(3)] == [True] * 3
    assert "of an earlier attempt" in text
    assert "child 2 broke..." in text
    assert "." * 201 not in text
    assert "elsewhere" not in text
    assert f"/admin/cq/task/?parent={parent.pk}" in text
    assert "3 / 3" in facts(staff, parent)["Progress"]


def test_subtasks_are_bounded(staff: Client, row: Callable[..., Task]) -> None:
    parent = row()
    for n in range(detail.ROWS + 1):
        row(name=f"child{n:03}", parent=parent, root=parent)
    text = shown(staff, parent)
    assert "The first 100." in text
    assert "child099" in text
    assert "child100" not in text


def test_what_it_comes_after_and_what_follows(staff: Client) -> None:
    first = step.delay(1)
    second = first.chain(step)
    errorback = first.errorback(step)
    merge = step.delay([first, second])
    text = shown(staff, first)
    assert "Comes after" not in text
    followed = text[text.index("Followed by") :]
    for row, when in (
        (second, "if it succeeds"),
        (errorback, "if it fails"),
        (merge, "if it succeeds"),
    ):
        assert url(row) in followed
        assert when in followed
    text = shown(staff, second)
    after = text[text.index("Comes after") : text.index("Followed by")]
    assert url(first) in after
    assert "open, chained" in after
    text = shown(staff, merge)
    assert "dependency 0" in text
    assert "dependency 1" in text
    assert "results of" in facts(staff, merge)["Arguments"]
    Edge.objects.filter(task=second.pk).update(met=False)
    assert "did not come true" in shown(staff, second)


def test_neighbours_are_bounded(staff: Client, row: Callable[..., Task]) -> None:
    first = row()
    for _ in range(detail.ROWS + 1):
        Edge.objects.create(task=row(name="later"), depends_on=first)
    text = shown(staff, first)
    assert "The first 100." in text
    assert text.count(">later<") == 100


def test_a_group_and_a_chain_have_pages(staff: Client) -> None:
    for root in (
        group([step.s(1), step.s(2)]).delay(),
        chain(step.s(1), step.s()).delay(),
    ):
        text = shown(staff, root)
        assert "admin_page.step" in text
        assert "/retry/" not in text
        for child in root.subtasks.all():
            shown(staff, child)


# Its log -----------------------------------------------------------------------------


def test_its_log(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row(name="root")
    child = row(name="child", parent=root, root=root)
    say(root, 2)
    say(child, 1, root, level=logging.WARNING)
    text = shown(staff, root)
    assert text.index("line 1") < text.index("line 2") < text.index("line 3")
    assert "WARNING" in text
    log = text[text.index("<h2>Log</h2>") : text.index("<h2>Subtasks</h2>")]
    assert log.count(url(child)) == 1
    text = shown(staff, child)
    assert "line 3" in text
    assert "line 1" not in text


def test_only_the_end_of_a_long_log_is_shown(
    staff: Client,
    row: Callable[..., Task],
    say: Callable[..., None],
) -> None:
    root = row()
    say(root, 500)
    assert "The last 500 lines." not in shown(staff, root)
    say(root, 2)
    text = shown(staff, root)
    assert "The last 500 lines." in text
    assert "line 2<" not in text
    assert "line 3<" in text
    assert "line 502<" in text


def test_a_long_line_is_cut(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row()
    say(root, 1, message="x" * 10_000)
    text = shown(staff, root)
    assert "x" * 2_000 + "...<" in text


# What it costs -----------------------------------------------------------------------


def test_a_page_costs_the_same_queries_whatever_is_around(
    staff: Client,
    row: Callable[..., Task],
    queries: Callable[..., list[str]],
    say: Callable[..., None],
) -> None:
    root = row()

    def load(count: int) -> Task:
        middle = row(parent=root, root=root, previous=root)
        for _ in range(count):
            child = row(parent=middle, root=root)
            say(middle, 1, root)
            Edge.objects.create(task=middle, depends_on=child, position=0)
            Edge.objects.create(task=row(), depends_on=middle)
        return middle

    few, many = load(1), load(60)
    cheap = queries(lambda: shown(staff, few))
    dear = queries(lambda: shown(staff, many))
    assert len(dear) == len(cheap)
    assert len(dear) <= 12


# Who sees it -------------------------------------------------------------------------


def test_the_page_is_for_staff_who_may_see_tasks(
    client: Client, login: Callable[..., Client], row: Callable[..., Task]
) -> None:
    found = row()
    assert client.get(url(found)).status_code == 302
    assert login("retry_task", "revoke_task").get(url(found)).status_code == 403


def test_a_task_that_is_gone_leads_to_the_index(staff: Client) -> None:
    for pk in ("0199a5f0-0000-7000-8000-000000000000", "nonsense"):
        page = staff.get(f"/admin/cq/task/{pk}/change/")
        assert page.status_code == 302
    assert get_user_model().objects.count() == 1


def test_the_history_is_there_to_be_read(
    staff: Client, row: Callable[..., Task]
) -> None:
    assert staff.get(f"/admin/cq/task/{row().pk}/history/").status_code == 200
