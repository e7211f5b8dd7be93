"""The whole as it is now: what makes it another one, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cq.figures.steps import minute_of
from cq.ids import uuid7
from cq.live import whole
from cq.live.whole import Whole, read_whole
from cq.models import Figure, Task, Worker
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db
DB = "default"


@pytest.fixture(autouse=True)
def _at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now().timestamp()
    monkeypatch.setattr(whole.time, "time", lambda: now)


def made(status: str, **columns: Any) -> Task:
    pk, now = uuid7(), timezone.now()
    return Task.objects.create(
        pk=pk, root_id=pk, name="a", status=status, submitted=now, **columns
    )


def worker(**columns: Any) -> Worker:
    now = timezone.now()
    found = {"kind": "cqworker", "host": "h", "pid": 1, **columns}
    return Worker.objects.create(
        id=Worker.objects.count() + 1, started=now, last_seen=now, **found
    )


def running() -> Task:
    return made(Status.RUNNING, worker=worker(), started=timezone.now())


def figure() -> None:
    slot = minute_of(timezone.now())
    Figure.objects.update_or_create(
        step=1, slot=slot, name="a", queue="b", defaults={"complete": 5}
    )


def queued() -> None:
    made(Status.QUEUED)


def advanced() -> None:
    Task.objects.filter(status=Status.RUNNING).update(progress_done=3.0)


def drained() -> None:
    Worker.objects.update(state="draining")


@pytest.mark.parametrize(
    ("of", "change"),
    [
        (Whole.OVERVIEW, queued),
        (Whole.OVERVIEW, running),
        (Whole.OVERVIEW, worker),
        (Whole.OVERVIEW, figure),
        (Whole.WORKERS, running),
        (Whole.WORKERS, worker),
        (Whole.WORKERS, advanced),
        (Whole.WORKERS, drained),
    ],
)
def test_it_is_another_one_as_soon_as_its_page_is(
    of: Whole, change: Callable[[], Any]
) -> None:
    running()
    before = read_whole(DB, of).etag
    assert read_whole(DB, of).etag == before
    change()
    assert read_whole(DB, of).etag != before


@pytest.mark.parametrize("busy", [True, False])
def test_what_waits_or_runs_grows_older(
    busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if busy:
        queued()
    monkeypatch.setattr(whole.time, "time", lambda: 6_000_000.0)
    before = read_whole(DB, Whole.OVERVIEW).etag
    monkeypatch.setattr(whole.time, "time", lambda: 6_000_010.0)
    assert (read_whole(DB, Whole.OVERVIEW).etag != before) is busy
    monkeypatch.setattr(whole.time, "time", lambda: 6_000_060.0)
    assert read_whole(DB, Whole.OVERVIEW).etag != before


def test_it_tells_numbers_only_where_they_may_be_known() -> None:
    running()
    found = read_whole(DB, Whole.WORKERS)
    assert found.state() == {
        "of": "workers",
        "seq": found.seq,
        "running": 1,
        "workers": 1,
    }
    assert found.state(numbers=False) == {"of": "workers", "seq": found.seq}


@pytest.mark.parametrize(("of", "most"), [(Whole.OVERVIEW, 1), (Whole.WORKERS, 2)])
def test_it_costs_few_statements(of: Whole, most: int) -> None:
    running()
    with CaptureQueriesContext(connection) as asked:
        read_whole(DB, of)
    assert len(asked) == most
