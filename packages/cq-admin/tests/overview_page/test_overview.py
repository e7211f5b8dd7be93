"""The overview: who may see it, what it shows, what it costs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import counted
import pytest
from asked import questions
from django.contrib import admin
from django.utils import translation
from hostile_texts import PAYLOADS, inline_code, tags

from cq.figures.marks import mark
from cq.figures.steps import minute_of
from cq.models import Figure, Mark, Overview, Queue, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/overview/"


@pytest.fixture(autouse=True)
def _by_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    counted.by_heartbeat(monkeypatch)
    counted.at_one_moment(monkeypatch)


def page(client: Client, **query: Any) -> str:
    answer = client.get(URL, query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def tiles(client: Client, **query: Any) -> dict[str, Any]:
    context = client.get(URL, query).context
    return {str(tile.label): tile for tile in context["cq_tiles"]}


def cells(client: Client, table: str, **query: Any) -> list[list[str]]:
    """The rows of a table as a reader sees them."""
    found = client.get(URL, query).context[table]
    strip = re.compile(r"<[^>]*>")
    return [[strip.sub("", str(cell)) for cell in row] for row in found.rows]


def busy(row: Callable[..., Any]) -> None:
    """A bit of everything."""
    worker = counted.alive("mail", "default")
    for ago, of in ((5, 3), (15, 2), (65, 7)):
        counted.figure(ago, complete=of, failed=1, d05=of, w03=of, took=of * 0.02)
    counted.figure(5, name="shop.mail", queue="mail", complete=4, retried=2, d08=4)
    counted.depth(10, mail=1)
    counted.depth(0, mail=2, nobody=1)
    for queue in ("mail", "mail", "nobody"):
        row(Status.QUEUED, queue=queue, name="shop.mail")
    row(Status.RUNNING, worker=worker, started=counted.now(), queue="mail")
    mark("v42", counted.now())


# Who may see it -----------------------------------------------------------------------


def test_it_needs_its_own_permission(login: Callable[..., Client]) -> None:
    assert login("view_overview").get(URL).status_code == 200


@pytest.mark.parametrize("codename", ["view_task", "view_queue", "view_worker"])
def test_no_other_permission_will_do(
    login: Callable[..., Client], codename: str
) -> None:
    assert login(codename).get(URL).status_code == 403


def test_nobody_without_a_login_sees_it(client: Client) -> None:
    assert client.get(URL).status_code == 302


def test_it_is_only_to_be_looked_at(staff: Client) -> None:
    assert staff.post(URL).status_code == 405
    for more in ("add/", "1/change/", "1/delete/"):
        assert staff.get(URL + more).status_code == 404


@pytest.mark.parametrize("language", ["en", "de", "es", "fr"])
def test_it_is_the_first_of_its_app_for_who_may_see_it(
    staff: Client, settings: Any, language: str
) -> None:
    with translation.override(language):
        settings.LANGUAGE_CODE = language
        apps = staff.get("/admin/").context["app_list"]
        [models] = [app["models"] for app in apps if app["app_label"] == "cq"]
        assert models[0]["object_name"] == "Overview"
        assert models[0]["admin_url"] == URL


def test_the_index_names_it_to_nobody_else_and_asks_nothing_for_it(
    login: Callable[..., Client], queries: Callable[..., list[str]]
) -> None:
    client = login("view_task")
    before = len(queries(lambda: client.get("/admin/")))
    assert URL not in client.get("/admin/").content.decode()
    registered = dict(admin.site._registry)
    try:
        admin.site.unregister([Overview, Queue])
        assert len(queries(lambda: client.get("/admin/"))) == before
    finally:
        admin.site._registry = registered


def test_links_lead_only_where_the_reader_may_go(
    login: Callable[..., Client], row: Callable[..., Any]
) -> None:
    busy(row)
    text = page(login("view_overview"))
    for address in ("/cq/task/", "/cq/worker/", "/cq/queue/"):
        assert address not in text
    assert "nobody" in text


# What it shows ------------------------------------------------------------------------


def test_an_empty_site_says_that_nobody_works(staff: Client) -> None:
    text = page(staff)
    assert "No worker is alive." in text or "Nothing needs you." in text
    assert "No queue has work." in text
    assert text.count('role="img"') == 3


def test_all_is_well(staff: Client) -> None:
    counted.alive()
    counted.alive(slots=16, state="draining")
    counted.depth(0)
    counted.figure(3, complete=5)
    text = page(staff)
    assert "Nothing needs you. Looked at" in text
    assert "2 alive" in text
    assert "0 of 4" in text
    assert "4 slots" in text


def test_the_numbers_are_those_of_an_independent_count(
    staff: Client, row: Callable[..., Any]
) -> None:
    busy(row)
    found = {cell[0]: cell for cell in cells(staff, "cq_tasks")}
    # Within the hour: 3 + 2 and 1 + 1 failures; 7 and 1 in the hour before.
    assert found["shop.pay"][1:3] == ["7", "2"]
    assert found["shop.mail"][1:3] == ["6", "0"]
    done = tiles(staff)["Done"]
    seconds = (counted.now().second + 60 * 60) / 60
    assert float(done.number.removesuffix("/min")) == pytest.approx(
        9 / seconds, abs=0.06
    )
    assert tiles(staff)["Failed"].lines[1] == "15.4\xa0% of runs"
    waiting = tiles(staff)["Waiting"]
    assert waiting.number == "3"
    assert tiles(staff)["Running"].number == "1 of 4"


def test_a_range_of_its_own_has_what_is_in_it(staff: Client) -> None:
    counted.figure(30, complete=4)
    counted.figure(90, complete=9)
    now = counted.now()
    since = (now - timedelta(minutes=100)).isoformat()
    until = (now - timedelta(minutes=80)).isoformat()
    [[name, runs, *_rest]] = cells(staff, "cq_tasks", since=since, until=until)
    assert (name, runs) == ("shop.pay", "9")
    text = page(staff, since=since, until=until)
    [link] = re.findall(
        r'href="/admin/cq/task/\?name=shop.pay&amp;(since=[^"]*)"', text
    )[:1]
    assert "until=" in link
    for length, runs in (("hour", "4"), ("day", "13"), ("week", "13"), ("month", "13")):
        assert cells(staff, "cq_tasks", range=length)[0][1] == runs


@pytest.mark.parametrize(
    ("compare", "days", "step", "more"),
    # As it is folded by then: five in ten minutes, ten in an hour.
    [("yesterday", 1, 10, -1), ("week", 7, 60, 197)],
)
def test_it_compares_with_the_same_span_of_another_day(
    staff: Client, compare: str, days: int, step: int, more: int
) -> None:
    counted.figure(30, complete=30)
    then = minute_of(counted.now() - timedelta(days=days, minutes=30)) // step * step
    for slot in range(then - 120, then + 121, step):
        Figure.objects.create(
            step=step, slot=slot, name="shop.pay", queue="x", complete=5 + step // 12
        )
    [row] = cells(staff, "cq_tasks", compare=compare)
    assert int(row[-1].strip("+\xa0%")) == pytest.approx(more, abs=1)
    [row] = cells(staff, "cq_tasks")
    assert row[-1] == "new"


@pytest.mark.parametrize(
    "query",
    [
        {"range": "year"},
        {"compare": "never"},
        {"since": "soon"},
        {"until": "2026-07-01"},
        {"since": "2h", "until": "3h"},
        {"since": "0001-01-01"},
        {"since": "400d"},
        {"since": "9" * 400 + "d"},
        {"since": "\x00"},
        {"range": "<script>"},
    ],
)
def test_what_means_nothing_is_said_and_the_hour_is_shown(
    staff: Client, query: dict[str, str]
) -> None:
    answer = staff.get(URL, query)
    assert answer.status_code == 400
    text = answer.content.decode()
    assert 'class="errornote"' in text
    assert "<script>" not in text
    assert '<a href="?' in text


def test_tables_are_in_the_order_of_the_address(staff: Client) -> None:
    counted.figure(5, name="a", complete=1, failed=3)
    counted.figure(5, name="b", complete=9)
    counted.figure(5, name="c", complete=5, d10=5, took=50)

    def order(text: str) -> list[str]:
        return [cell[0] for cell in cells(staff, "cq_tasks", tasks=text)]

    assert order("") == order("nonsense") == order("-runs") == ["b", "c", "a"]
    assert order("name") == ["a", "b", "c"]
    assert order("-failed")[0] == "a"
    assert order("total")[-1] == "c"
    # What has no value is last whichever way.
    assert order("p95")[0] == order("-p95")[0] == "c"
    assert 'aria-sort="descending"' in page(staff)
    assert 'aria-sort="ascending"' in page(staff, tasks="name")


def test_a_long_table_says_how_much_is_left_out(staff: Client) -> None:
    for n in range(53):
        counted.figure(5, name=f"n{n}")
    assert len(cells(staff, "cq_tasks")) == 50
    assert "3 more are left out." in page(staff)
    assert len(cells(staff, "cq_tasks", rows="all")) == 53


def test_without_figures_it_says_so_and_shows_the_queues(
    staff: Client, row: Callable[..., Any], settings: Any
) -> None:
    busy(row)
    settings.CQ_FIGURES = False
    text = page(staff)
    assert "CQ_FIGURES is False" in text
    assert 'role="img"' not in text
    assert "shop.pay" not in text
    assert cells(staff, "cq_queues")[0][:2] == ["mail", "2"]


# Charts -------------------------------------------------------------------------------


def test_charts_say_the_same_as_tables(staff: Client) -> None:
    counted.figure(5, complete=6, failed=2, w03=6, d05=6)
    found = {chart.name: chart for chart in staff.get(URL).context["cq_charts"]}
    assert set(found) == {"runs", "waits", "durations"}
    for chart in found.values():
        assert len(chart.times) <= 61
    rows = found["runs"].rows
    assert any(cells[0] == "6/min" and cells[2] == "2/min" for _, cells in rows)
    text = page(staff)
    assert "<title" in text
    assert "<desc" in text
    assert "as a table" in text
    for length in ("hour", "day", "week", "month"):
        for chart in staff.get(URL, {"range": length}).context["cq_charts"]:
            assert len(chart.times) <= 180


def test_a_mark_is_drawn_and_listed(staff: Client) -> None:
    mark("v42 <b>", counted.now())
    text = page(staff)
    assert "<title>v42 &lt;b&gt;</title>" in text
    assert "<bdi>v42 &lt;b&gt;</bdi>" in text


# Hostile texts ------------------------------------------------------------------------


def test_no_name_is_markup(staff: Client, row: Callable[..., Any]) -> None:
    def shown(text: str) -> str:
        Figure.objects.all().delete()
        Task.objects.all().delete()
        Mark.objects.all().delete()
        counted.figure(5, name=text[:200], queue=text[:100], failed=20)
        row(Status.QUEUED, name=text[:200], queue=text[:100])
        mark(text.strip()[:100], counted.now())
        return page(staff)

    counted.alive("x")
    plain = shown("harmless")
    assert inline_code(plain) == []
    for payload in PAYLOADS:
        text = shown(payload)
        assert tags(text) == tags(plain), payload


def test_names_survive_their_links(staff: Client) -> None:
    for name in ("a,b", "a&status=FAILURE", "a b/#?..", "\u05d0\u05d1"):
        Figure.objects.all().delete()
        counted.figure(5, name=name, failed=20)
        found = re.findall(r'href="(/admin/cq/task/\?[^"]*name=[^"]*)"', page(staff))
        assert found
        for address in found:
            answer = staff.get(address.replace("&amp;", "&"))
            [spec] = [
                s
                for s in answer.context["cl"].filter_specs
                if s.parameter_name == "name"
            ]
            assert spec.values == (name,)


# What it costs ------------------------------------------------------------------------


def test_it_is_twelve_queries_at_most_and_none_reads_a_table(
    staff: Client,
    row: Callable[..., Any],
    queries: Callable[..., list[str]],
    reads_a_table: Callable[[str], bool],
) -> None:
    busy(row)
    row(Status.RUNNING, started=counted.now() - timedelta(hours=1), worker_id=1)
    for n in range(30):
        row(name=f"done {n}")
    sent = questions(queries(lambda: page(staff)))
    about_tasks = [sql for sql in sent if "cq_tasks" in sql]
    assert about_tasks
    assert not [sql for sql in about_tasks if reads_a_table(sql)]
    from django.db import connection

    if connection.vendor != "mysql":  # there it is one more for each queue
        assert len(sent) <= 12


def test_more_rows_cost_no_more_queries(
    staff: Client, row: Callable[..., Any], queries: Callable[..., list[str]]
) -> None:
    busy(row)
    few = queries(lambda: page(staff))
    for n in range(20):
        row(Status.QUEUED, queue="mail", name=f"n{n}")
        counted.figure(3, name=f"n{n}")
        counted.alive(f"q{n}")
    assert len(queries(lambda: page(staff))) == len(few)
