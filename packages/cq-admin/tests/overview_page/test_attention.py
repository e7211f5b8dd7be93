"""What needs somebody: each is said where it is so, and nowhere else."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import counted
import pytest
from django.utils import timezone

from cq import task
from cq.figures.steps import minute_of, slot_of
from cq.models import Depth, Figure
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq/overview/"


@task("attention.known")
def known(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _by_heartbeat(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    counted.by_heartbeat(monkeypatch)
    counted.at_one_moment(monkeypatch)
    settings.CQ_RUN_INLINE = False


def said(client: Client) -> list[str]:
    """The notices as a reader sees them."""
    strip = re.compile(r"<[^>]*>")
    found = client.get(URL).context["cq_notices"]
    return [strip.sub("", str(notice.text)) for notice in found]


def links(client: Client, number: int = 0) -> list[str]:
    return [url for url, _label in client.get(URL).context["cq_notices"][number].links]


def served(*queues: str) -> Any:
    """A worker that has just counted the queues."""
    counted.depth(0)
    return counted.alive(*queues)


def queued(row: Callable[..., Any], ago: float = 0.0, **columns: Any) -> Any:
    columns.setdefault("name", "attention.known")
    submitted = counted.now() - timedelta(seconds=ago)
    return row(Status.QUEUED, submitted=submitted, **columns)


def test_nothing_needs_anybody(staff: Client, row: Callable[..., Any]) -> None:
    worker = served()
    queued(row, 5)
    now = counted.now()
    row(Status.RUNNING, name="attention.known", worker=worker, started=now)
    counted.figure(5, "attention.known", complete=100, failed=9)
    counted.figure(15, "attention.known", complete=100, failed=1)
    assert said(staff) == []


def test_a_parent_that_waits_for_nothing(
    staff: Client, row: Callable[..., Any]
) -> None:
    served()
    long_ago = counted.now() - timedelta(hours=1)

    def parent() -> Any:
        return row(Status.WAITING, name="attention.known", started=long_ago)

    def child(of: Any, status: str, ago: float = 3600.0) -> None:
        finished = counted.now() - timedelta(seconds=ago)
        final = {} if status == Status.PENDING else {"finished": finished}
        row(status, parent=of, root=of, counted=True, **final)

    waits, settling, stuck, alone = (parent() for _ in range(4))
    child(waits, Status.PENDING)
    child(waits, Status.COMPLETE)
    child(settling, Status.COMPLETE)
    child(settling, Status.COMPLETE, ago=1)  # the next sweep comes to it
    child(stuck, Status.COMPLETE)
    child(stuck, Status.FAILURE)
    said_of = [text for text in said(staff) if "though all its subtasks" in text]
    assert said_of == [
        f"attention.known {one.pk} waits, though all its subtasks have settled."
        for one in (stuck, alone)
    ]
    assert links(staff)[0] == f"/admin/cq/task/{stuck.pk}/change/"


def test_no_worker_is_alive(staff: Client, row: Callable[..., Any]) -> None:
    counted.alive(seen=60)
    assert said(staff) == ["No worker is alive."]
    queued(row)
    assert said(staff) == ["No worker is alive. 1 task waits."]
    assert links(staff) == ["/admin/cq/worker/", "/admin/cq/task/?status=QUEUED"]


def test_where_tasks_run_at_once_nobody_is_missed_until_one_waits(
    staff: Client, row: Callable[..., Any], settings: Any
) -> None:
    settings.CQ_RUN_INLINE = True
    assert said(staff) == []
    queued(row)
    assert said(staff) == ["No worker is alive. 1 task waits."]


def test_a_queue_that_nobody_serves(staff: Client, row: Callable[..., Any]) -> None:
    served("mail")
    queued(row, queue="mail")
    queued(row, 3600, queue="nobody,x")
    [text] = said(staff)
    since = timezone.localtime(counted.now() - timedelta(hours=1))
    assert text.startswith("1 task waits in the queue nobody,x, which no worker serves")
    assert f"{since:%H:%M}" in text
    assert links(staff)[0] == r"/admin/cq/task/?queue=nobody%5C,x&status=QUEUED"


def test_a_queue_whose_oldest_has_waited_too_long_and_what_it_is(
    staff: Client, row: Callable[..., Any], settings: Any
) -> None:
    served()
    queued(row, 59)
    assert said(staff) == []
    queued(row, 70)
    queued(row, 65, name="attention.known")
    [text] = said(staff)
    assert "ready for 1\xa0min 1" in text
    assert text.endswith("Most of what waits is attention.known.")
    settings.CQ_QUEUE_AGE = 120
    assert said(staff) == []


def test_what_was_delayed_has_not_waited(
    staff: Client, row: Callable[..., Any]
) -> None:
    served()
    queued(row, 3600, ready=counted.now())
    assert said(staff) == []


def test_growth_has_its_sign_and_its_value(
    staff: Client, row: Callable[..., Any]
) -> None:
    counted.alive()
    counted.depth(0, default=4)
    counted.depth(10, default=1)
    for _ in range(4):
        queued(row, 70)
    minutes = 10 + counted.now().second / 60
    [text] = said(staff)
    grown = float(re.findall(r"grows: \+([\d.]+)/min", text)[0])
    assert grown == pytest.approx(3 / minutes, abs=0.06)
    [tile] = [t for t in staff.get(URL).context["cq_tiles"] if t.label == "Waiting"]
    assert tile.lines[0] == f"+{grown}/min"
    Depth.objects.filter(slot=minute_of(counted.now()) - 10).update(waiting=40)
    [tile] = [t for t in staff.get(URL).context["cq_tiles"] if t.label == "Waiting"]
    assert tile.lines[0].startswith("-3.")
    assert "grows" not in said(staff)[0]


def test_a_name_that_nobody_knows(staff: Client, row: Callable[..., Any]) -> None:
    served()
    queued(row, name="attention.gone")
    counted.figure(2, "attention.lost", retried=3)
    counted.figure(30, "attention.of_old", failed=3)
    # Another release has it.
    counted.figure(2, "attention.newer", complete=3, failed=1)
    counted.figure(2, "(others)", failed=1)
    found = said(staff)
    assert len(found) == 2
    assert "attention.gone" in found[0]
    assert "attention.lost" in found[1]


@pytest.mark.parametrize(
    ("late", "earlier", "is_said"),
    [
        (10, 0, True),
        (9, 0, False),
        (10, 2, True),
        (14, 3, False),
        (15, 3, True),
        (400, 100, False),
    ],
)
def test_a_name_that_fails_much_more_than_before(
    staff: Client, late: int, earlier: int, is_said: bool
) -> None:
    served()
    counted.figure(5, "attention.known", failed=late - 1, lost=1, complete=1)
    counted.figure(15, "attention.known", failed=earlier)
    found = said(staff)
    if not is_said:
        assert found == []
        return
    assert found == [
        f"attention.known: {late} failures in 10 minutes, {earlier} in the ten before."
    ]
    query = "?status=FAILURE,LOST&name=attention.known&since=10m"
    assert links(staff) == [
        f"/admin/cq/task/{query}",
        f"/admin/cq/task/many/retry/{query}",
    ]
    assert staff.get(links(staff)[1]).status_code == 200


def test_retrying_is_only_offered_to_who_may(
    login: Callable[..., Client],
) -> None:
    served()
    counted.figure(5, "attention.known", failed=20)
    assert len(links(login("view_overview", "view_task"))) == 1


def test_a_run_that_takes_far_longer_than_usual(
    staff: Client, row: Callable[..., Any]
) -> None:
    worker = served()
    began = counted.now() - timedelta(minutes=6)
    running = {"worker": worker, "started": began}
    slow = row(Status.RUNNING, name="attention.known", **running)
    row(Status.RUNNING, name="attention.usual", **running)
    row(Status.RUNNING, name="attention.new", **running)
    row(
        Status.RUNNING,
        name="attention.known",
        worker=worker,
        started=counted.now() - timedelta(minutes=4),
    )
    # p95 is below 20 s and above 100 s; within the day, beyond the hour.
    hours_ago = slot_of(minute_of(counted.now()) - 600, 10)
    for name, bucket in (("attention.known", "d12"), ("attention.usual", "d16")):
        Figure.objects.create(
            step=10, slot=hours_ago, name=name, queue="x", complete=9, **{bucket: 9}
        )
    found = [text for text in said(staff) if "has been running" in text]
    assert len(found) == 1
    assert found[0].startswith(f"attention.known {slow.pk} has been running for 6")
    assert "95 % are done in ~" in found[0]


def test_a_task_that_a_dead_worker_holds(
    staff: Client, row: Callable[..., Any]
) -> None:
    served()
    dead = counted.alive(seen=3600)
    row(Status.RUNNING, worker=dead, started=counted.now(), name="attention.known")
    assert said(staff) == ["1 running task is held by a worker that is not alive."]
    assert links(staff)[0] == f"/admin/cq/task/?worker={dead.pk}&status=RUNNING"


def test_workers_that_look_after_nothing(staff: Client, settings: Any) -> None:
    worker = counted.alive()
    counted.depth(5)
    [text] = said(staff)
    assert "none has counted the queues" in text
    settings.CQ_FIGURES = False
    assert said(staff) == []
    settings.CQ_FIGURES = True
    worker.started = counted.now()
    worker.save()
    assert said(staff) == []


def test_the_worst_comes_first_and_many_of_a_kind_are_cut(
    staff: Client, row: Callable[..., Any]
) -> None:
    served("default")
    for n in range(7):
        queued(row, 100 + n, queue=f"nobody {n}")
    queued(row, 300)
    found = said(staff)
    assert ["nobody 6" in found[0], "nobody 5" in found[1]] == [True, True]
    assert found[5] == "And 2 more like it."
    assert "The oldest task in the queue default" in found[6]
