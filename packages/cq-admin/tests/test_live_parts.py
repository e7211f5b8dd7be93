"""The parts of a page that keep themselves up to date: asked for alone, and no other way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import counted
import pytest
from asked import questions
from django.contrib.messages import get_messages
from django.db import connection
from hostile_texts import PAYLOADS, inline_code, tags

from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

PARTS = {"CQ-Part": "cq-parts"}
BOTH = pytest.mark.parametrize("what", ["overview", "worker"])


@pytest.fixture(autouse=True)
def _by_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    counted.by_heartbeat(monkeypatch)
    counted.at_one_moment(monkeypatch)


def busy(row: Callable[..., Any], text: str = "mail") -> None:
    worker = counted.alive(text)
    counted.figure(5, name=text[:200], queue=text[:100], complete=3, d05=3)
    row(Status.QUEUED, queue=text[:100], name=text[:200])
    row(Status.RUNNING, worker=worker, started=counted.now(), name=text[:200])


def address(what: str) -> str:
    return f"/admin/cq/{what}/"


@BOTH
def test_they_are_those_of_the_page_and_nothing_else(
    what: str, staff: Client, row: Callable[..., Any]
) -> None:
    busy(row)
    page = staff.get(address(what)).content.decode()
    parts = staff.get(address(what), headers=PARTS)
    text = parts.content.decode().strip()
    assert parts.status_code == 200
    assert parts["Content-Type"].startswith("text/html")
    assert "no-store" in parts["Cache-Control"]
    assert text.startswith('<div id="cq-parts">')
    assert text.endswith("</div>")
    assert text.split() in [
        page.split()[at : at + len(text.split())] for at in range(len(page.split()))
    ]
    assert page.count('id="cq-parts"') == 1
    assert 'id="cq-live-page"' in page
    assert "live-page.js" in page


@BOTH
def test_they_cost_no_more_than_the_page(
    what: str,
    staff: Client,
    row: Callable[..., Any],
    queries: Callable[..., list[str]],
) -> None:
    busy(row)
    whole = questions(queries(lambda: staff.get(address(what))))
    parts = questions(queries(lambda: staff.get(address(what), headers=PARTS)))
    assert len(parts) <= len(whole)
    # MariaDB is asked for each queue.
    assert len(whole) <= 12 or connection.vendor == "mysql"


@BOTH
def test_who_may_not_see_the_page_gets_no_part_of_it(
    what: str, client: Client, login: Callable[..., Client]
) -> None:
    assert client.get(address(what), headers=PARTS).status_code == 302
    assert login("view_task").get(address(what), headers=PARTS).status_code == 403


def test_an_address_that_means_nothing_has_no_live_parts(staff: Client) -> None:
    url = f"{address('overview')}?range=never"
    assert 'id="cq-live-page"' not in staff.get(url).content.decode()
    assert staff.get(url, headers=PARTS).status_code == 400


def test_what_is_said_once_is_said_on_a_page(staff: Client) -> None:
    worker = counted.alive()
    worker.answers = ["quiet"]
    worker.save()
    staff.post(f"{address('worker')}{worker.pk}/quiet/")
    staff.get(address("worker"), headers=PARTS)
    answer: Any = staff.get(address("worker"))
    assert len(list(get_messages(answer.wsgi_request))) == 1


@BOTH
@pytest.mark.parametrize("text", PAYLOADS)
def test_no_stored_text_becomes_a_part_of_them(
    what: str, text: str, staff: Client, row: Callable[..., Any]
) -> None:
    busy(row, "plain text")
    before = staff.get(address(what), headers=PARTS).content.decode()
    assert inline_code(before) == []
    busy(row, text)
    found = staff.get(address(what), headers=PARTS).content.decode()
    assert set(tags(found)) <= set(tags(before))
