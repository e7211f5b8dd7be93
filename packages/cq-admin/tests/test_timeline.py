"""The timeline of one task: its events, and what the time between them was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cq.models import Attempt, Task
from cq.status import AttemptOutcome, Status
from cq_admin.timeline import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

START = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def made(status: str, **columns: Any) -> Task:
    times = {
        k: at(v) if isinstance(v, int) and k != "attempts" else v
        for k, v in columns.items()
    }
    times.setdefault("submitted", START)
    return Task(name="one", status=status, **times)


def tried(number: int, started: int, ended: int, **more: Any) -> Attempt:
    more.setdefault("outcome", AttemptOutcome.FAILED)
    if "next" in more:
        more["next"] = at(more["next"])
    return Attempt(number=number, started=at(started), ended=at(ended), **more)


def told(task: Task, *history: Attempt, now: int = 1_000, **more: Any) -> list[Any]:
    found = events(task, history, at(now), **more)
    return [
        (e.what, e.gap, None if e.length is None else e.length.total_seconds())
        for e in found
    ]


def test_a_task_that_went_well() -> None:
    task = made(Status.COMPLETE, ready=60, started=72, finished=80, attempts=1)
    assert told(task) == [
        ("recorded", "", None),
        ("ready", "before it was ready", 60),
        ("started", "in the queue", 12),
        ("complete", "ran", 8),
    ]
    at_once = made(Status.COMPLETE, started=2, finished=3, attempts=1)
    assert told(at_once)[1] == ("started", "in the queue", 2)
    assert told(at_once, has_subtasks=True)[2][1] == "ran, and waited for subtasks"


def test_tries_with_their_backoff() -> None:
    task = made(Status.COMPLETE, ready=40, started=41, finished=45, attempts=3)
    found = told(
        task,
        tried(1, 1, 2, next=10),
        tried(2, 12, 20, next=40, outcome=AttemptOutcome.TIMED_OUT),
    )
    assert found == [
        ("recorded", "", None),
        ("try 1 started", "in the queue", 1),
        ("try 1: failed", "ran", 1),
        ("due again", "backoff", 8),
        ("try 2 started", "in the queue", 2),
        ("try 2: timed out", "ran", 8),
        ("ready", "backoff", 20),
        ("started", "in the queue", 1),
        ("complete", "ran", 4),
    ]


def test_what_has_not_ended() -> None:
    retry = made(Status.RETRY, started=1, run_after=1_200, attempts=1)
    found = told(retry, tried(1, 1, 2, next=1_200))
    assert found[-2:] == [
        ("now: waiting to retry", "backoff", 998),
        ("due", "backoff", 200),
    ]
    queued = made(Status.QUEUED, ready=900)
    assert told(queued)[-1] == ("now: queued", "in the queue", 100)
    running = made(Status.RUNNING, started=990, attempts=1)
    assert told(running)[-1] == ("now: running", "ran", 10)
    pending = made(Status.PENDING)
    assert told(pending)[-1] == ("now: pending", "before it was ready", 1_000)


def test_nothing_is_negative_where_clocks_differ() -> None:
    task = made(Status.COMPLETE, submitted=50, ready=40, started=30, finished=20)
    lengths = [length for _, _, length in told(task) if length is not None]
    assert lengths
    assert min(lengths) == 0


@pytest.mark.django_db
def test_it_is_on_the_page(staff: Client, row: Callable[..., Task]) -> None:
    found = row(Status.COMPLETE, submitted=at(0), started=at(12), finished=at(14))
    text = staff.get(f"/admin/cq/task/{found.pk}/change/").content.decode()
    timeline = text[text.index('id="timeline"') :]
    assert "12\N{NO-BREAK SPACE}s in the queue" in timeline
    assert "2\N{NO-BREAK SPACE}s ran" in timeline
