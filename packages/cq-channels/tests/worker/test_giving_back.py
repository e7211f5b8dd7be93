"""Claims that go back unstarted, while the database is in trouble."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection

from cq import lifecycle, task
from cq.db.statements import uuid_param
from cq.lifecycle import claim_of
from cq.models import Task
from cq.tables.queries import tasks
from cq_channels.slots.claim_ahead import MAX_CLAIMED_AHEAD
from cq_channels.worker.claimer import Claimer
from cq_channels.worker.in_flight import InFlight
from cq_channels.worker.maintenance import Maintenance


@task("giving_back.nothing")
def nothing(cqt: Any) -> None:
    pass


class Threads:
    """Slots with tasks that wait, while others have run for long in all of them."""

    waiting = 1
    count = 1

    def __init__(self, tasks: list[Any]) -> None:
        self.tasks = tasks

    def all_busy_for(self) -> float:
        return 60.0

    def take_back(self) -> list[Any]:
        found, self.tasks = self.tasks, []
        return found


def test_the_claimer_is_woken_when_what_waits_runs_low_and_not_before() -> None:
    lease: Any = SimpleNamespace(using="default", worker=11)
    threads: Any = Threads([])
    claimer = Claimer(
        lease, threads, SimpleNamespace(), InFlight(), None, None, None, print
    )  # type: ignore[arg-type]

    threads.waiting = MAX_CLAIMED_AHEAD // 2 + 1
    claimer.thread_came_free()
    assert not claimer._wake.is_set()

    threads.waiting = MAX_CLAIMED_AHEAD // 2
    claimer.thread_came_free()
    assert claimer._wake.is_set()


def test_what_could_not_be_given_back_is_found_as_one_that_nobody_works_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task: Any = Task(pk=uuid.uuid4(), fence=1, worker_id=11)
    in_flight = InFlight()
    in_flight.add([claim_of(task)])
    lease: Any = SimpleNamespace(using="default", worker=11)
    threads: Any = Threads([task])
    claimer = Claimer(
        lease, threads, SimpleNamespace(), in_flight, None, None, None, print
    )  # type: ignore[arg-type]

    def fails(using: str, claims: Any) -> Any:
        raise OperationalError("the answer was lost")

    monkeypatch.setattr(lifecycle, "hand_back", fails)
    with pytest.raises(OperationalError):
        claimer._give_back_what_waits()

    assert in_flight.orphans([task.pk]) == []
    assert in_flight.orphans([task.pk]) == [task.pk]


def test_a_burst_does_not_end_while_something_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idle: list[bool] = []

    class Watched(InFlight):
        def drop(self, claim: Any) -> None:
            super().drop(claim)
            idle.append(not len(self) and claimer.idle)

    task: Any = Task(pk=uuid.uuid4(), fence=1, worker_id=11)
    in_flight = Watched()
    in_flight.add([claim_of(task)])
    lease: Any = SimpleNamespace(using="default", worker=11)
    threads: Any = Threads([task])
    claimer = Claimer(
        lease, threads, SimpleNamespace(), in_flight, None, None, None, print
    )  # type: ignore[arg-type]
    claimer.lanes.exist = False
    claimer.hints.take()
    claimer.hints.found_nothing = True
    assert claimer.idle
    monkeypatch.setattr(lifecycle, "hand_back", lambda using, claims: [])

    claimer._give_back_what_waits()

    assert idle == [False]


@pytest.mark.parametrize(
    ("state", "again", "losses"),
    [("57P01", True, 0), ("57P02", True, 1), (None, True, 1), ("57P01", False, 1)],
)
def test_row_33_an_orderly_restart_of_the_server_is_not_held_against_what_ran(
    transactional_db: None, state: str | None, losses: int, *, again: bool
) -> None:
    task = sample(rerun_lost=again)
    in_flight = InFlight()
    maintenance = Maintenance("default", task.worker_id, in_flight, False, print, print)
    in_flight.add([claim_of(task)])

    in_flight.unwritten(task, away_after(state))
    in_flight.drop(claim_of(task))
    for _ in range(2):  # once may be a claim that is still under way
        maintenance._rescue_orphans([task.pk])

    task.refresh_from_db()
    assert task.losses == losses
    assert task.status == (Task.STATUS_QUEUED if again else Task.STATUS_LOST)


def sample(*, rerun_lost: bool) -> Any:
    """Return a task that runs under a worker of this process."""
    handle = nothing.delay()
    tasks("default").filter(pk=handle.pk).update(rerun_lost=rerun_lost)
    param = uuid_param(connection, handle.pk)
    [claimed] = lifecycle.claim("default", 11, "id = %s", [param], 1)
    return claimed


def away_after(state: str | None) -> OperationalError:
    """Return what is raised when the server has gone, and is still away."""
    first: Any = OperationalError("the connection was closed")
    first.__cause__ = Exception()
    first.__cause__.sqlstate = state  # type: ignore[attr-defined]
    error = OperationalError("connection refused")
    error.__context__ = first
    return error
