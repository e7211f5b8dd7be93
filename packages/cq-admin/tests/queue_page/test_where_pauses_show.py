"""Pauses on the pages of figures: the overview's tables, and the page of a task's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import counted
import pytest

from cq import queues, task

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

OVERVIEW, NAME = "/admin/cq/overview/", "where_pauses_show.mail"
OF = f"/admin/cq/task/of/?name={NAME}"
EVIL = "<script>alert(1)</script>"
SEEING = ("view_overview", "view_task", "view_queue")


@task("where_pauses_show.mail", queue="mail")
def mail(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _by_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    counted.by_heartbeat(monkeypatch)
    counted.at_one_moment(monkeypatch)


def html(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return str(answer.content.decode())


def text(markup: object) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", str(markup))).strip()


def rows(client: Client, name: str) -> dict[str, list[Any]]:
    """The rows of a table of the overview, by the name that each begins with."""
    return {
        text(row[0]).split()[0]: row for row in client.get(OVERVIEW).context[name].rows
    }


def verbs(page: str) -> set[str]:
    return set(re.findall(r'href="/admin/cq/queue/((?:pause|resume)/\?[^"]*)"', page))


def test_the_overview_has_them_beside_each_queue(staff: Client) -> None:
    counted.alive("mail")
    queues.pause("mail", reason=EVIL, by="ann")

    found = rows(staff, "cq_queues")

    assert text(found["mail"][-1]).startswith("since ")
    assert text(found["mail"][-1]).endswith("resume")
    assert "by ann" in text(found["mail"][-1])
    assert verbs(html(staff, OVERVIEW)) == {"resume/?queue=mail"}
    assert EVIL not in html(staff, OVERVIEW)


def test_the_overview_leads_to_where_a_queue_is_paused(
    staff: Client, row: Callable[..., Any]
) -> None:
    row("QUEUED", name=NAME, queue="mail")
    [cells] = rows(staff, "cq_queues").values()
    assert text(cells[-1]) == "pause"
    assert verbs(html(staff, OVERVIEW)) == {"pause/?queue=mail"}


def test_the_overview_marks_a_name_that_is_paused(staff: Client) -> None:
    counted.figure(name=NAME, queue="mail")
    counted.figure(name="other", queue="mail")
    queues.pause(task=NAME, reason=EVIL, by="ann")

    found = rows(staff, "cq_tasks")

    assert text(found[NAME][0]).startswith(f"{NAME} paused since ")
    assert text(found[NAME][0]).endswith("resume")
    assert "by ann" in text(found[NAME][0])
    assert text(found["other"][0]) == "other"
    assert f"resume/?task={NAME}" in verbs(html(staff, OVERVIEW))
    assert EVIL not in html(staff, OVERVIEW)


def test_the_page_of_a_name_says_what_holds_its_tasks_back(staff: Client) -> None:
    assert verbs(html(staff, OF)) == {f"pause/?task={NAME}"}

    queues.pause(task=NAME, reason=EVIL, by="ann")
    queues.pause("mail", reason="down")
    queues.pause("default")

    page = html(staff, OF)
    assert f"The task {NAME} is paused: since" in text(page)
    assert "The queue mail is paused: since" in text(page)
    assert "The queue default" not in text(page)
    assert verbs(page) == {f"resume/?task={NAME}", "resume/?queue=mail"}
    assert EVIL not in page


def test_a_name_that_is_not_registered_is_not_paused_there(staff: Client) -> None:
    assert verbs(html(staff, "/admin/cq/task/of/?name=gone.task")) == set()


def test_who_may_not_pause_is_told_and_led_nowhere(
    login: Callable[..., Client],
) -> None:
    client = login(*SEEING)
    counted.figure(name=NAME, queue="mail")
    queues.pause("mail", by="ann")
    queues.pause(task=NAME, by="ann")
    for url in (OVERVIEW, OF):
        page = html(client, url)
        assert text(page).count("by ann") >= 2, url
        assert "/queue/pause/" not in page, url
        assert "/queue/resume/" not in page, url
    queues.resume("mail")
    queues.resume(task=NAME)
    for url in (OVERVIEW, OF):
        assert "/queue/pause/" not in html(client, url), url


def test_who_may_not_see_queues_is_led_nowhere_either(
    login: Callable[..., Client],
) -> None:
    client = login("view_overview", "view_task", "pause_queue")
    counted.figure(name=NAME, queue="mail")
    queues.pause(task=NAME)
    for url in (OVERVIEW, OF):
        assert "/queue/resume/" not in html(client, url), url


def test_a_pause_costs_the_overview_nothing_and_the_name_one_statement(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    counted.alive("mail")
    counted.figure(name=NAME, queue="mail")
    few = {url: len(queries(lambda url=url: staff.get(url))) for url in (OVERVIEW, OF)}
    queues.pause("mail")
    queues.pause(task=NAME)
    for url, before in few.items():
        assert len(queries(lambda url=url: staff.get(url))) == before
    found = queries(lambda: staff.get(OF))
    assert len([sql for sql in found if "cq_pauses" in sql]) == 1


def test_the_filters_of_the_list_say_what_is_paused(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    counted.alive("mail")
    url = "/admin/cq/task/"
    before = queries(lambda: staff.get(url))
    queues.pause("mail")
    queues.pause(task=NAME)

    shown = text(html(staff, url))

    assert "mail: paused" in shown
    assert f"{NAME}: paused" in shown
    assert "default: paused" not in shown
    after = queries(lambda: staff.get(url))
    assert len(after) == len(before) + 1  # and none, where nothing is
    queues.resume("mail")
    queues.resume(task=NAME)
    assert len(queries(lambda: staff.get(url))) == len(before)
    assert ": paused" not in text(html(staff, url))
