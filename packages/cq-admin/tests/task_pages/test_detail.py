"""The page of one task: what it shows of it and of what is around it, and how much."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from asked import questions
from django.contrib.auth import get_user_model
from django.utils import timezone

from cq import chain, group, task
from cq.display.redaction import HIDDEN
from cq.models import Edge, Task, Worker
from cq.status import Status
from cq_admin.task_pages import neighbours

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


@task("admin_page.login")
def log_in(cqt: Any, user: str, password: str) -> None: ...


@task("admin_page.tried", retries=3)
def tried(cqt: Any) -> None: ...


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


def plain(html: str) -> str:
    """The text of a piece of a page."""
    return re.sub(r"<[^>]*>", "", html)


def top(client: Client, row: Task) -> str:
    """The text at the top of a page, with its blanks and line ends as single blanks."""
    text = shown(client, row)
    found = text[text.index("cq-top") : text.index("cq-zone")]
    return " ".join(re.sub(r"<[^>]*>", " ", found).split())


def top_html(client: Client, row: Task) -> str:
    text = shown(client, row)
    return text[text.index("cq-top") : text.index("cq-zone")]


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
    assert "orders.csv" in found["Arguments"]
    assert "UUID(" in found["Arguments"]
    assert "False" in found["Arguments"]
    assert "line 3: no price" in found["Error"]
    assert plain(found["Exception"]) == "shop.errors.BadLine"
    assert "Traceback\n  File" in found["Traceback"]
    assert plain(found["Queue"]) == "slow"
    assert found["Priority"] == "7"
    assert found["Attempts"] == "4"
    assert found["Workers lost"] == "1"
    assert found["Waited"] == "2\xa0s"
    assert found["Duration"] == "1\xa0min 1\xa0s"
    assert "Result" not in found
    assert "Unique key" not in found


def test_waiting_begins_when_it_could_start(
    staff: Client, row: Callable[..., Task]
) -> None:
    now = timezone.now()
    called = now - timedelta(hours=3)
    found = facts(staff, row(submitted=called, started=called + timedelta(seconds=2)))
    assert "Ready" not in found

    ready, start = now - timedelta(seconds=90), now - timedelta(seconds=86)
    found = facts(staff, row(submitted=called, ready=ready, started=start))
    assert "<time" in found["Ready"]
    assert found["Waited"] == "4\N{NO-BREAK SPACE}s"

    # Until now; it was tried before, and has not started again.
    queued = row(Status.QUEUED, submitted=called, ready=ready, started=called)
    found = facts(staff, queued)
    assert found["Waited"].startswith("1\N{NO-BREAK SPACE}min")
    assert facts(staff, row(Status.PENDING, submitted=called))["Waited"] == "-"


def test_a_result_and_the_rest_show_where_they_are(
    staff: Client, row: Callable[..., Task]
) -> None:
    done = row(result='{"rows":3}', result_ttl=60)
    assert "&#x27;rows&#x27;: 3" in facts(staff, done)["Result"]
    assert facts(staff, done)["Kept"] == "60 s"
    assert facts(staff, row(result_ttl=-1))["Kept"] == "∞ s"
    remembered = row(kept_key="once", unique_for=-90)
    assert facts(staff, remembered)["Unique key"] == "once"
    assert facts(staff, remembered)["Key remembered"] == "90 s"
    assert "Unique key" not in facts(staff, row(kept_key="gone"))
    limits = [["<b>1", "{a}"], ["stripe", {"name": "stripe"}], ["stripe", ""], "x"]
    limited = facts(staff, row(options={"limits": limits, "fair": "<i>"}))
    assert limited["Limits"] == "&lt;b&gt;1; stripe"
    assert limited["Takes turns by"] == "&lt;i&gt;"
    assert "Limits" not in facts(staff, row(options={"limits": 7, "fair": [7]}))
    now = timezone.now()
    waiting = row(Status.PENDING, unique_key="one", run_after=now, expires=now)
    found = facts(staff, waiting)
    assert found["Unique key"] == "one"
    assert "<time" in found["Not before"]
    assert "<time" in found["Expires"]
    assert "Again in" not in found
    soon = now + timedelta(minutes=90, seconds=30)
    again = facts(staff, row(Status.RETRY, run_after=soon))["Again in"]
    assert again == "1\N{NO-BREAK SPACE}h 30\N{NO-BREAK SPACE}min"


def test_who_runs_it(staff: Client, row: Callable[..., Task]) -> None:
    now = timezone.now()
    worker = Worker.objects.create(
        id=7, kind="cqworker", host="web-1", pid=12, started=now, last_seen=now
    )
    running = row(Status.RUNNING, worker=worker, started=now)
    assert facts(staff, running)["Worker"] == "web-1:12"
    worker.delete()  # its row may go first: no constraint holds it
    assert facts(staff, running)["Worker"] == "7, which was deleted"


def test_secrets_are_hidden(staff: Client, row: Callable[..., Task]) -> None:
    found = row(
        name="admin_page.login",
        args='["ann","tell-1"]',
        kwargs='{"config":{"API_KEY":"tell-2"}}',
        result='{"token":"tell-3","name":"ann"}',
    )
    text = shown(staff, found)
    assert "tell-" not in text
    # The arguments twice, at the top and whole.
    assert text.count(HIDDEN) == 5
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
    assert "500,006 characters are stored" in text
    assert "characters left out" in text


# Its top -----------------------------------------------------------------------------

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/tasks.py", line 7, in charge
    pay(order)
  File "/srv/shop/gateway.py", line 42, in pay
    post(order)
  File "/srv/lib/python3.12/site-packages/requests/api.py", line 9, in post
    raise Timeout
  File "/usr/lib/python3.12/socket.py", line 1, in connect
    raise
GatewayTimeout: it said
no answer for order 4711"""


def test_the_top_says_what_went_wrong_and_where_in_ones_own_code(
    staff: Client, row: Callable[..., Task]
) -> None:
    failed = row(
        Status.FAILURE,
        name="admin_page.tried",
        queue="slow",
        attempts=2,
        error="it said\nno answer for order 4711",
        exception="shop.errors.GatewayTimeout",
        traceback=TRACEBACK,
    )
    text = top(staff, failed)
    assert "failed tries: 2 of 4" in text
    assert "GatewayTimeout: no answer for order 4711 in" in text
    assert "it said" not in text
    assert "srv/shop/gateway.py:42" in text
    assert "Queue slow" in text


def test_frames_of_libraries_are_folded_and_the_whole_is_there(
    staff: Client, row: Callable[..., Task]
) -> None:
    failed = row(Status.FAILURE, error="no", traceback=TRACEBACK)
    found = facts(staff, failed)["Traceback"]
    (summary,) = re.findall(r"<details><summary>(\d.*?)</summary>", found)
    assert summary == "2 frames of requests, socket"
    folded = found[found.index(summary) : found.index("</details>")]
    assert "raise Timeout" in folded
    assert "gateway.py" not in folded
    whole = found[found.index('id="cq-traceback"') :]
    assert "post(order)" in whole
    assert "raise Timeout" in whole
    assert 'data-source="cq-traceback"' in found


def test_arguments_have_the_names_of_their_parameters(
    staff: Client, row: Callable[..., Task]
) -> None:
    called = row(name="admin_page.login", args='["ann"]', kwargs='{"password":"tell"}')
    assert f"user &#x27;ann&#x27; password {HIDDEN}" in top(staff, called)
    many = row(args=f"[{', '.join(['1'] * 40)}]", kwargs='{"a":"' + "x" * 200 + '"}')
    text = top(staff, many)
    assert "args [1, 1" in text
    assert "x" * 100 not in text
    assert "x" * 99 + "..." in text
    names = {f"k{n}": n for n in range(30)}
    assert "10 more" in top(staff, row(kwargs=json.dumps(names)))


def test_who_may_not_see_arguments_sees_none_at_the_top(
    login: Callable[..., Client], row: Callable[..., Task]
) -> None:
    called = row(name="admin_page.login", args='["ann@shop"]')
    assert "ann@" not in shown(login("view_task"), called)


def test_a_group_has_the_times_of_what_is_below_it(
    staff: Client, row: Callable[..., Task]
) -> None:
    start = timezone.now() - timedelta(hours=1)
    root = row(
        Status.COMPLETE,
        name="cq.group",
        submitted=start,
        started=None,
        finished=start + timedelta(minutes=10),
        result=f'{{"$":"group","v":"{uuid4().hex}"}}',
    )
    inner = row(Status.COMPLETE, name="cq.chain", parent=root, root=root, started=None)
    for minutes, again in ((5, 0), (2, 4)):
        first = start + timedelta(minutes=minutes)
        row(
            parent=inner,
            root=root,
            first_started=first if again else None,
            started=first + timedelta(minutes=again),
        )
    found = facts(staff, root)
    assert (start + timedelta(minutes=2)).isoformat() in found["Started"]
    assert found["Waited"] == "2\xa0min"
    assert found["Duration"] == "8\xa0min"
    assert 'href="#tree"' in found["Result"]
    assert (start + timedelta(minutes=2)).isoformat() in facts(staff, inner)["Started"]


def test_the_zone_is_named_once_and_a_time_has_that_of_utc_beside_it(
    staff: Client, row: Callable[..., Task]
) -> None:
    moment = datetime(2030, 6, 1, 12, tzinfo=UTC)
    found = row(submitted=moment, started=moment, finished=moment)
    with timezone.override("Asia/Tokyo"):
        text = shown(staff, found)
    # Django 6.1 has it in an attribute, too.
    assert re.sub(r"<[^>]*>", "", text).count("Asia/Tokyo") == 1
    assert "21:00:00.000" in text
    title = "2030-06-01 12:00:00 UTC (2030-06-01T12:00:00+00:00)"
    assert f'title="{title}"' in text


def test_code_is_from_left_to_right_and_what_people_wrote_as_it_is_written(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    failed = row(Status.FAILURE, error="no", traceback=TRACEBACK, args="[1]")
    say(failed, 1, message="said")
    text = shown(staff, failed)
    assert all('dir="ltr"' in tag for tag in re.findall(r"<code[^>]*>", text))
    assert '<td class="cq-line" dir="auto">said</td>' in text
    found = facts(staff, failed)
    assert '<pre class="cq-text" dir="auto"' in found["Error"]
    for label in ("Arguments", "Traceback"):
        assert 'dir="ltr"' in found[label]
        assert 'dir="auto"' not in found[label]
    heading = text[text.index('<div class="cq-title">') :]
    assert heading.count("<bdi", 0, heading.index("</h2>")) == 2


# Around it ---------------------------------------------------------------------------


def test_above_it(staff: Client, row: Callable[..., Task]) -> None:
    root = row(name="the.root")
    parent = row(name="the.parent", parent=root, root=root)
    previous = row(name="the.previous", parent=parent, root=root)
    child = row(
        Status.INCOMPLETE,
        name="the.child",
        parent=parent,
        root=root,
        previous=previous,
        cause=previous.pk,
    )
    found = facts(staff, child)
    assert url(parent) in found["Parent"]
    assert "the.parent" in plain(found["Parent"])
    assert url(root) in found["Top-level task"]
    assert url(previous) in found["Chained to"]
    assert url(previous) in top_html(staff, child)


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
    assert f"/admin/cq/task/?root={parent.pk}" in text
    assert "3 / 3" in top(staff, parent)


def test_the_top_of_what_is_incomplete_tells_with_what_it_began(
    staff: Client, row: Callable[..., Task]
) -> None:
    root = row(Status.INCOMPLETE, name="root", error="subtask leaf x is FAILURE: two")
    leaf = row(
        Status.FAILURE,
        name="leaf",
        parent=root,
        root=root,
        exception="shop.GatewayTimeout",
        error="one\ntwo <b>",
        traceback=TRACEBACK,
    )
    Task.objects.filter(pk=root.pk).update(cause=leaf.pk)
    text = top(staff, root)
    assert "It began with leaf failed GatewayTimeout: two &lt;b&gt; in" in text
    assert "srv/shop/gateway.py:42" in text
    assert url(leaf) in top_html(staff, root)


def test_what_it_comes_after_and_what_follows(staff: Client) -> None:
    first = step.delay(1)
    second = first.chain(step)
    errorback = first.errorback(step)
    merge = step.delay([first, second])
    text = shown(staff, first)
    assert "Comes after" not in text
    followed = text[text.index('id="after"') :]
    for row, when in (
        (second, "if it succeeds"),
        (errorback, "if it fails"),
        (merge, "if it succeeds"),
    ):
        assert url(row) in followed
        assert when in followed
    text = shown(staff, second)
    after = text[text.index('id="before"') : text.index('id="after"')]
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
    for _ in range(neighbours.MAX_ROWS + 1):
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
    log = text[text.index('id="log"') :]
    assert log.count(f'<a href="{url(child)}">') == 1
    text = shown(staff, child)
    assert "line 3" in text
    assert "line 1" not in text


def test_lines_of_several_attempts_say_of_which_they_are(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row()
    say(root, 1, attempt=1)
    assert ">Try<" not in shown(staff, root)
    say(root, 1, attempt=2)
    text = shown(staff, root)
    assert ">Try<" in text
    log = text[text.index('id="log"') :]
    assert re.findall(r"<td>(\d)</td>", log) == ["1", "2"]


def test_only_the_end_of_a_long_log_is_shown(
    staff: Client,
    row: Callable[..., Task],
    say: Callable[..., None],
) -> None:
    root = row()
    say(root, 200)
    assert "The last 200 lines." not in shown(staff, root)
    say(root, 2)
    text = shown(staff, root)
    assert "The last 200 lines." in text
    assert "line 2<" not in text
    assert "line 3<" in text
    assert "line 202<" in text


def test_a_long_line_is_cut(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row()
    say(root, 1, message="x" * 10_000)
    text = shown(staff, root)
    assert "x" * 2_000 + "...<" in text


# What it costs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "columns"),
    [
        ([], {}),
        # Whether something below it has succeeded, for its button.
        ([Status.FAILURE], {"name": "admin_page.step"}),
        # Where it runs.
        ([Status.RUNNING], {"worker_id": 7, "started": timezone.now()}),
        # When the first below it started.
        ([Status.WAITING], {"name": "cq.group"}),
    ],
    ids=["complete", "failed", "running", "group"],
)
def test_a_page_costs_the_same_queries_whatever_is_around(
    staff: Client,
    row: Callable[..., Task],
    queries: Callable[..., list[str]],
    reads_a_table: Callable[[str], bool],
    say: Callable[..., None],
    status: list[str],
    columns: dict[str, Any],
) -> None:
    root = row()

    def load(count: int) -> Task:
        middle = row(*status, parent=root, root=root, previous=root, **columns)
        for _ in range(count):
            child = row(parent=middle, root=root)
            say(middle, 1, root)
            Edge.objects.create(task=middle, depends_on=child, position=0)
            Edge.objects.create(task=row(), depends_on=middle)
        return middle

    few, many = load(1), load(60)
    shown(staff, few)  # what a process asks once, it has asked

    def asked(task: Task) -> list[str]:
        return questions(queries(lambda: shown(staff, task)))

    cheap, dear = asked(few), asked(many)
    assert len(dear) == len(cheap)
    assert len(dear) <= 12
    assert [sql for sql in dear if reads_a_table(sql)] == []


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


def test_it_says_how_long_it_may_still_take(staff: Client, row: Any) -> None:
    began = timezone.now() - timedelta(minutes=10)
    columns = {"started": began, "progress_total": 100.0}
    task = row(Status.WAITING, progress_done=75.0, **columns)
    text = staff.get(f"/admin/cq/task/{task.pk}/change/").content.decode()
    left = text.partition('data-live="left">')[2].partition("<")[0]
    assert left.startswith("~3.3")
    assert left.endswith(" min left (7.5/min)")
    for other in (
        row(Status.WAITING, progress_done=0.0, **columns),
        row(Status.COMPLETE, progress_done=75.0, **columns),
    ):
        text = staff.get(f"/admin/cq/task/{other.pk}/change/").content.decode()
        assert 'data-live="left"></span>' in text
