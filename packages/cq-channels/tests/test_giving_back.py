"""Claims that go back unstarted, while the database is in trouble."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from cq import lifecycle
from cq_channels.claimer import AHEAD, Claimer
from cq_channels.held import Held, claim_of


class Threads:
    """Slots with tasks that wait, while another has run for long."""

    waiting = 1

    def __init__(self, tasks: list[Any]) -> None:
        self.tasks = tasks

    def longest(self) -> float:
        return 60.0

    def take_back(self) -> list[Any]:
        found, self.tasks = self.tasks, []
        return found


def test_the_claimer_is_woken_when_what_waits_runs_low_and_not_before() -> None:
    lease: Any = SimpleNamespace(using="default", worker=11)
    threads: Any = Threads([])
    claimer = Claimer(
        lease, threads, SimpleNamespace(), Held(), None, None, None, print
    )  # type: ignore[arg-type]

    threads.waiting = AHEAD // 2 + 1
    claimer.thread_came_free()
    assert not claimer._wake.is_set()

    threads.waiting = AHEAD // 2
    claimer.thread_came_free()
    assert claimer._wake.is_set()


def test_what_could_not_be_given_back_is_found_as_one_that_nobody_works_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task: Any = SimpleNamespace(pk=uuid.uuid4(), fence=1, worker_id=11)
    held = Held()
    held.add([claim_of(task)])
    lease: Any = SimpleNamespace(using="default", worker=11)
    threads: Any = Threads([task])
    claimer = Claimer(lease, threads, SimpleNamespace(), held, None, None, None, print)  # type: ignore[arg-type]

    def fails(using: str, claims: Any) -> Any:
        raise OperationalError("the answer was lost")

    monkeypatch.setattr(lifecycle, "hand_back", fails)
    with pytest.raises(OperationalError):
        claimer._give_back_what_waits()

    assert held.orphans([task.pk]) == []
    assert held.orphans([task.pk]) == [task.pk]
