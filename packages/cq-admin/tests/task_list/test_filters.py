"""The filters of the list: several values at once, what they offer, and their counts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from django.utils import timezone

from cq import task
from cq.ids import first_of
from cq.models import Task, Worker
from cq.status import Status
from cq_admin.task_list import counting

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"


@task("filters.known", queue="letters")
def known(cqt: Any) -> None: ...


def changelist(client: Client, query: str = "") -> Any:
    page = client.get(f"{URL}?{query}")
    assert page.status_code == 200
    return page.context["cl"]


def names(client: Client, query: str = "") -> list[str]:
    return [row.name for row in changelist(client, query).result_list]


def choices(client: Client, parameter: str, query: str = "") -> dict[str, Any]:
    """The choices of a filter, by how they are shown."""
    found = changelist(client, query)
    [spec] = [s for s in found.filter_specs if s.parameter_name == parameter]
    return {str(choice["display"]): choice for choice in spec.choices(found)}


@pytest.fixture
def alive(db: None) -> Callable[..., Worker]:
    def make(*queues: str, seen: timedelta = timedelta()) -> Worker:
        now = timezone.now()
        number = Worker.objects.count() + 1
        return Worker.objects.create(
            id=number,
            kind="x",
            host=f"web-{number}",
            pid=4411,
            queues=list(queues) or None,
            started=now,
            last_seen=now - seen,
        )

    return make


@pytest.fixture
def by_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tells who is alive by the heartbeat on SQLite as well, where files are locked."""
    from cq.workers import liveness

    monkeypatch.setattr(liveness, "in_memory", lambda using: False)
    monkeypatch.setattr(liveness, "uses_lock_files", lambda using: False)


# Several at once ----------------------------------------------------------------------


def test_several_statuses_queues_and_names(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(Status.FAILURE, name="a", queue="one")
    row(Status.LOST, name="b", queue="two")
    row(Status.COMPLETE, name="c", queue="two")
    row(Status.QUEUED, name="d,e", queue="three")
    assert names(staff, "status=FAILURE,LOST") == ["b", "a"]
    assert names(staff, "status=FAILURE&status=LOST") == ["b", "a"]
    assert names(staff, "status__in=FAILURE,LOST") == ["b", "a"]
    assert names(staff, "status=LOST,COMPLETE,QUEUED") == ["d,e", "c", "b"]
    assert names(staff, "queue=one,two&status=LOST,FAILURE") == ["b", "a"]
    assert names(staff, "queue=two") == ["c", "b"]
    assert names(staff, "name=a,c") == ["c", "a"]
    assert names(staff, r"name=d\,e,a") == ["d,e", "a"]
    assert names(staff, "name=a&status=FAILURE,LOST") == ["a"]
    assert names(staff, "name=b&status=FAILURE") == []


def test_a_choice_is_put_to_the_others_or_taken_away(
    staff: Client, row: Callable[..., Task]
) -> None:
    row()
    found = choices(
        staff, "status", "status=FAILURE,LOST&queue=x&before=" + str(row().pk)
    )
    assert [c for c in found if found[c]["selected"]] == ["failed", "lost"]
    for label, values in (("expired", "FAILURE,LOST,EXPIRED"), ("failed", "LOST")):
        query = parse_qs(found[label]["query_string"][1:])
        # The next list begins at its top.
        assert query == {"status": [values], "queue": ["x"]}
    assert parse_qs(found["All"]["query_string"][1:]) == {"queue": ["x"]}


@pytest.mark.parametrize("query", ["status=BROKEN", "since=soon", "until=x", "id=1"])
def test_what_means_nothing_leads_back(
    staff: Client, row: Callable[..., Task], query: str
) -> None:
    answer = staff.get(f"{URL}?{query}")
    assert (answer.status_code, answer["Location"]) == (302, f"{URL}?e=1")


def test_a_range_of_time_is_one_of_ids(staff: Client, row: Callable[..., Task]) -> None:
    now = timezone.now()
    for hours in (200, 50, 3, 0):
        task = row(name=f"{hours} h ago")
        moved = first_of(now - timedelta(hours=hours))
        Task.objects.filter(pk=task.pk).update(id=moved, root_id=moved)
    assert names(staff, "since=1h") == ["0 h ago"]
    assert names(staff, "since=24h") == ["0 h ago", "3 h ago"]
    assert names(staff, "since=7d&until=2h") == ["3 h ago", "50 h ago"]
    assert names(staff, "q=since:7d+until:2h+ago") == ["3 h ago", "50 h ago"]
    moment = (now - timedelta(hours=60)).isoformat().replace("+", "%2B")
    assert names(staff, f"until={moment}") == ["200 h ago"]
    assert "Last hour" in choices(staff, "since")
    assert any("Since" in shown for shown in choices(staff, "since", "since=3d"))


# What is offered ----------------------------------------------------------------------


@pytest.mark.usefixtures("by_heartbeat")
def test_queues_to_choose_are_known_served_or_have_work(
    staff: Client, row: Callable[..., Task], alive: Callable[..., Worker]
) -> None:
    alive("served", "letters")
    alive("gone", seen=timedelta(hours=1))
    row(Status.QUEUED, name="waits", queue="nobody")
    row(Status.COMPLETE, queue="finished")
    found = choices(staff, "queue")
    assert {"letters", "served", "nobody: nobody serves it"} <= set(found)
    assert not {"gone", "finished"} & set(found)
    # A link has chosen it.
    assert "finished" in choices(staff, "queue", "queue=finished")
    [text] = [row.cells.why for row in changelist(staff, "status=QUEUED").result_list]
    assert "no worker serves the queue nobody" in text


@pytest.mark.usefixtures("by_heartbeat")
def test_where_nobody_is_alive_that_is_said(
    staff: Client, row: Callable[..., Task], alive: Callable[..., Worker]
) -> None:
    alive(seen=timedelta(hours=1))
    row(Status.QUEUED, name="filters.known")
    [found] = changelist(staff).result_list
    assert "no worker is alive" in found.cells.why
    alive()
    [found] = changelist(staff).result_list
    assert found.cells.why == "-"


def test_names_that_are_not_registered_are_told(
    staff: Client, row: Callable[..., Task]
) -> None:
    row(Status.QUEUED, name="renamed.since")
    row(Status.COMPLETE, name="renamed.long_ago")
    text = staff.get(URL).content.decode()
    assert text.count("no task of that name is registered here") == 1
    assert "renamed.since" not in choices(staff, "name")
    chosen = choices(staff, "name", "name=renamed.since")
    assert chosen["renamed.since: not registered here"]["selected"]
    assert "filters.known" in chosen


def test_the_table_is_not_asked_for_its_names_and_queues(
    staff: Client, row: Callable[..., Task], queries: Callable[..., list[str]]
) -> None:
    row()
    sent = queries(lambda: changelist(staff))
    assert not [sql for sql in sent if "DISTINCT" in sql]


def test_a_worker_is_found_by_its_host(
    staff: Client, row: Callable[..., Task], alive: Callable[..., Worker]
) -> None:
    one, other = alive(), alive()
    now = timezone.now()
    row(Status.RUNNING, name="here", worker=one, started=now)
    row(Status.RUNNING, name="there", worker=other, started=now)
    for query in ("worker=1", "q=worker:web-1", "q=worker:WEB-1:4411", "q=worker:1"):
        assert names(staff, query) == ["here"]
    assert names(staff, "q=worker:nowhere") == []


# Counts -------------------------------------------------------------------------------


def test_a_status_says_how_many_there_are(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 2)
    for status, count in ((Status.FAILURE, 3), (Status.LOST, 2), (Status.QUEUED, 1)):
        for _ in range(count):
            row(status, name="filters.known")
    row(Status.COMPLETE)
    found = choices(staff, "status")
    for label in ("failed (2+)", "lost (2)", "queued (1)", "expired (0)", "complete"):
        assert label in found
    # Of a name the failures, and with other filters none.
    assert "failed (2+)" in choices(staff, "status", "name=filters.known")
    assert "failed (0)" in choices(staff, "status", "name=other")
    assert "failed" in choices(staff, "status", "queue=default")
    assert "lost (2)" in choices(staff, "status", "since=1h")
    assert "lost (0)" in choices(staff, "status", "until=1h")


def test_the_views_are_links_with_their_counts(
    staff: Client, row: Callable[..., Task]
) -> None:
    now = timezone.now()
    for status in Status:
        worker = {"worker_id": 1, "started": now} if status == Status.RUNNING else {}
        row(status, name=status.value, run_after=now, **worker)
    tabs = {str(tab.label): tab for tab in changelist(staff).tabs}
    shown = {label: (tab.number, tab.is_current) for label, tab in tabs.items()}
    assert shown == {
        "Needs attention": ("4", False),
        "Running": ("1", False),
        "Waiting": ("1", False),
        "Later": ("3", False),
        "All": ("13", True),
    }
    for tab in tabs.values():
        found = changelist(staff, tab.query[1:])
        assert str(found.known) == tab.number
        assert [one.label for one in found.tabs if one.is_current] == [tab.label]
    assert names(staff, tabs["Later"].query[1:]) == [
        "SUSPENDED",
        "RETRY",
        "PENDING",
    ]
    # With another filter none of them is what is seen.
    found = changelist(staff, "status=RUNNING&queue=x")
    assert not [tab for tab in found.tabs if tab.is_current]
