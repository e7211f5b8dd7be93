"""The page of the queues."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import counted
import pytest
from asked import questions
from django.db import connection
from hostile_texts import PAYLOADS, inline_code, tags

from cq.models import Depth, Figure, Task
from cq.status import Status
from cq_admin.figures import queues as module

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/queue/"


@pytest.fixture(autouse=True)
def _by_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    counted.by_heartbeat(monkeypatch)
    counted.at_one_moment(monkeypatch)


def page(client: Client, **query: Any) -> str:
    answer = client.get(URL, query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def rows(client: Client, **query: Any) -> dict[str, dict[str, str]]:
    """What a reader sees: by queue, by the head of each column."""
    found = client.get(URL, query).context["cq_queues"]
    strip = re.compile(r"<[^>]*>")
    heads = [str(head.label) for head in found.heads]
    texts = [[strip.sub("", str(cell)) for cell in row] for row in found.rows]
    return {row[0]: dict(zip(heads, row, strict=True)) for row in texts}


def test_it_needs_its_own_permission(login: Callable[..., Client]) -> None:
    assert login("view_queue").get(URL).status_code == 200


@pytest.mark.parametrize("codename", ["view_task", "view_overview"])
def test_no_other_permission_will_do(
    login: Callable[..., Client], codename: str
) -> None:
    assert login(codename).get(URL).status_code == 403


def test_it_is_only_to_be_looked_at(client: Client, staff: Client) -> None:
    assert staff.post(URL).status_code == 405
    client.logout()
    assert client.get(URL).status_code == 302


def test_nothing_is_there(staff: Client) -> None:
    assert "No queue has work, or had any within a day." in page(staff)


def test_a_queue_says_what_waits_runs_and_serves_it(
    staff: Client, row: Callable[..., Any]
) -> None:
    worker = counted.alive("mail", slots=4)
    counted.alive(slots=2)
    counted.alive("-mail", slots=8)
    counted.alive("mail", seen=600)
    counted.alive("mail", slots=16, state="quiet")
    counted.depth(10, mail=7)
    counted.depth(0, mail=2)
    now = counted.now()
    row(Status.QUEUED, queue="mail", submitted=now - timedelta(seconds=90))
    row(Status.QUEUED, queue="mail", submitted=now - timedelta(hours=3), ready=now)
    row(Status.RUNNING, queue="mail", worker=worker, started=now)
    counted.figure(4, queue="mail", complete=30, retried=5, w06=30)
    found = rows(staff)["mail"]
    minutes = 10 + counted.now().second / 60
    assert found["waiting"] == "2"
    assert found["oldest"].startswith("1\xa0min 3")
    assert found["running"] == "1 of 6"
    assert found["workers"] == "2"
    assert float(found["out"].removesuffix("/min")) == pytest.approx(
        35 / minutes, abs=0.06
    )
    assert float(found["in"].removesuffix("/min")) == pytest.approx(
        30 / minutes, abs=0.06
    )
    # All of them are in the bucket from 50 to 100 ms.
    assert found["p95 wait"] == "~98\xa0ms"


def test_it_is_listed_while_it_has_work_figures_or_a_worker(
    staff: Client, row: Callable[..., Any]
) -> None:
    counted.alive("served", "-left out")
    row(Status.QUEUED, queue="waiting")
    row(Status.RUNNING, queue="running", worker_id=1, started=counted.now())
    counted.figure(23 * 60, queue="of late")
    counted.figure(26 * 60, queue="long ago")
    row(Status.COMPLETE, queue="done")
    assert set(rows(staff)) == {"served", "waiting", "running", "of late"}
    assert rows(staff)["waiting"]["workers"] == "none"


def test_clear_asks_before_it_revokes_what_waits(
    staff: Client, row: Callable[..., Any]
) -> None:
    row(Status.QUEUED, queue="a,b")
    [address] = re.findall(r'href="([^"]*many/revoke/[^"]*)"', page(staff))
    answer = staff.get(address.replace("&amp;", "&"))
    assert answer.status_code == 200
    assert "1 task" in answer.content.decode()


def test_clear_is_for_who_may_revoke(
    login: Callable[..., Client], row: Callable[..., Any]
) -> None:
    row(Status.QUEUED, queue="a")
    text = page(login("view_queue", "view_task"))
    assert "many/revoke" not in text
    assert "Clear" not in text


def test_links_lead_only_where_the_reader_may_go(
    login: Callable[..., Client], row: Callable[..., Any]
) -> None:
    row(Status.QUEUED, queue="a")
    counted.alive()
    text = page(login("view_queue"))
    assert "/cq/task/" not in text
    assert "/cq/worker/" not in text


def test_beyond_what_is_counted_it_is_what_a_worker_has_counted(
    staff: Client, row: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", (3, 100))
    for _ in range(5):
        row(Status.QUEUED, queue="many")
    assert rows(staff)["many"]["waiting"] == "3+"
    counted.depth(1, many=12_431)
    assert rows(staff)["many"]["waiting"] == "~12,431"
    Depth.objects.update(waiting=100_000, capped=1)
    assert rows(staff)["many"]["waiting"] == "100,000+"
    assert rows(staff)["many"]["in"] == "-"


def test_the_line_of_the_last_hour_is_said_in_words(
    staff: Client, row: Callable[..., Any]
) -> None:
    row(Status.QUEUED, queue="mail")
    for ago, waiting in ((50, 9), (30, 4), (0, 1)):
        counted.depth(ago, mail=waiting)
    text = page(staff)
    assert 'aria-label="1 to 9 waiting"' in text
    way = re.findall(r'cq-sparkline.*? d="([^"]*)"', text)[0]
    assert way.count("M") == 3  # nobody has looked in between


def test_without_figures_it_says_so(
    staff: Client, row: Callable[..., Any], settings: Any
) -> None:
    settings.CQ_FIGURES = False
    row(Status.QUEUED, queue="mail")
    assert "CQ_FIGURES is False" in page(staff)
    assert "p95 wait" not in rows(staff)["mail"]


def test_the_order_is_that_of_the_address(
    staff: Client, row: Callable[..., Any]
) -> None:
    for queue, number in (("a", 1), ("b", 3), ("c", 2)):
        for _ in range(number):
            row(Status.QUEUED, queue=queue)
    assert [*rows(staff)] == ["b", "c", "a"]
    assert [*rows(staff, queues="name")] == ["a", "b", "c"]
    assert [*rows(staff, queues="waiting")] == ["a", "c", "b"]
    assert [*rows(staff, queues="\x00<")] == ["b", "c", "a"]


def test_no_name_is_markup(staff: Client, row: Callable[..., Any]) -> None:
    def shown(text: str) -> str:
        Figure.objects.all().delete()
        Task.objects.all().delete()
        counted.figure(5, queue=text[:100])
        row(Status.QUEUED, queue=text[:100])
        return page(staff)

    plain = shown("harmless")
    assert inline_code(plain) == []
    for payload in PAYLOADS:
        text = shown(payload)
        assert tags(text) == tags(plain), payload


def test_it_is_twelve_queries_at_most_whatever_there_is(
    staff: Client,
    row: Callable[..., Any],
    queries: Callable[..., list[str]],
    reads_a_table: Callable[[str], bool],
) -> None:
    for n in range(20):
        row(Status.QUEUED, queue=f"q{n}")
        row(Status.RUNNING, queue=f"q{n}", worker_id=n + 1, started=counted.now())
        counted.alive(f"q{n}")
        counted.figure(5, queue=f"q{n}")
    counted.depth(0, q1=1)
    sent = questions(queries(lambda: page(staff)))
    assert not [sql for sql in sent if "cq_tasks" in sql and reads_a_table(sql)]
    if connection.vendor != "mysql":  # there it is one more for each queue
        assert len(sent) <= 12
