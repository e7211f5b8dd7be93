"""What is claimed first, and when a worker looks again."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cq import task
from cq.models import Task
from cq.workers.pauses import KnownPauses, Paused
from cq_channels.slots.claim_ahead import SHORT_RUN_SECONDS
from cq_channels.worker import claimer as claimers
from cq_channels.worker.claimer import Claimer
from cq_channels.worker.claims import others, pair_scan
from cq_channels.worker.in_flight import InFlight

if TYPE_CHECKING:
    import pytest


@task
def nothing(cqt: Any) -> None: ...


class Table:
    """A queue of tasks, in the order in which they came, and threads that run some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
        self.queued: list[Any] = []
        self.running: list[Any] = []
        self.count = threads
        self.waiting = 0
        self.duration = SHORT_RUN_SECONDS  # long enough for nothing to be claimed ahead
        lease: Any = SimpleNamespace(using="default", worker=11, healthy=True)
        loop: Any = SimpleNamespace(free=0)
        slots: Any = self
        self.claimer = Claimer(lease, slots, loop, InFlight(), None, None, None, print)
        self.claimer.lanes.exist = False
        monkeypatch.setattr(others, "claim_ids", self._claim_ids)
        monkeypatch.setattr(others, "claim_next", self._claim_next)
        monkeypatch.setattr(KnownPauses, "refresh", lambda pauses: False)
        self.claim()  # the first look, at an empty table

    def _claim_ids(self, using: str, worker: int, ids: Any, **which: Any) -> list[Any]:
        return self._take([task for task in self.queued if task.pk in ids])

    def _claim_next(
        self, using: str, worker: int, limit: int, **which: Any
    ) -> list[Any]:
        return self._take(self.queued[:limit])

    def _take(self, found: list[Any]) -> list[Any]:
        self.queued = [task for task in self.queued if task not in found]
        return found

    @property
    def free(self) -> int:
        return self.count - len(self.running)

    def put(self, task: Any) -> None:
        self.running.append(task)

    def add(self, *, rung: bool) -> Any:
        made = Task(pk=uuid.uuid4(), name=nothing.name, fence=1, worker_id=11)
        self.queued.append(made)
        if rung:
            self.claimer.wake([(made.pk, "default")])
        return made

    def end(self, task: Any) -> None:
        self.running.remove(task)

    def claim(self) -> None:
        while self.claimer._claim():
            pass


def test_what_was_rung_for_while_no_thread_was_free_is_not_left_to_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    for _ in range(3):
        table.add(rung=True)
    for left in (2, 1, 0):
        table.claim()
        assert len(table.queued) == left
        assert not table.claimer.idle
        table.end(table.running[0])
    table.claim()
    assert table.claimer.idle


def test_what_has_waited_is_claimed_before_what_has_just_been_rung_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    running = table.add(rung=True)
    table.claim()
    first = table.add(rung=False)
    table.add(rung=True)
    table.claim()
    table.end(running)
    table.claim()
    assert table.running == [first]


def test_a_thread_that_comes_free_during_a_look_that_was_not_for_it_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    running = table.add(rung=True)
    table.claim()
    waits = table.add(rung=False)
    monkeypatch.setattr(claimers, "coroutine_names", lambda: ["coroutine"])
    table.claimer.loop.free = 1

    def for_coroutines(*args: Any, only: Any = None, **which: Any) -> list[Any]:
        if only:
            table.end(running)
            return []
        return table._claim_next(*args, **which)

    monkeypatch.setattr(others, "claim_next", for_coroutines)
    table.claim()
    assert not table.claimer.idle
    monkeypatch.setattr(others, "claim_next", table._claim_next)
    table.claim()
    assert table.running == [waits]


def test_a_coroutine_that_is_rung_for_needs_no_free_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    table.add(rung=True)
    table.claim()
    looked: list[Any] = []

    def claim_next(*args: Any, only: Any = None, **which: Any) -> list[Any]:
        looked.append(only)
        return []

    monkeypatch.setattr(others, "claim_next", claim_next)
    monkeypatch.setattr(claimers, "coroutine_names", lambda: ["coroutine"])
    table.claimer.loop.free = 1
    table.add(rung=True)
    table.claim()
    assert looked == [["coroutine"]]


def test_lanes_that_are_held_are_looked_for_in_a_burst_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    asked: list[bool] = []

    def left() -> bool:
        asked.append(True)
        return True

    monkeypatch.setattr(table.claimer.lanes, "left", left)
    table.claimer.wake(None)
    table.claim()
    assert (table.claimer.idle, asked) == (True, [])

    table.claimer.burst = True
    table.claimer.wake(None)
    table.claim()
    assert (table.claimer.idle, asked) == (False, [True])


def test_who_has_been_woken_and_has_not_looked_yet_is_not_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    assert table.claimer.idle
    for rung in (None, [(uuid.uuid4(), "default")]):
        table.claimer.wake(rung)
        assert not table.claimer.idle
        table.claim()
        assert table.claimer.idle


def test_what_is_rung_for_while_a_thread_is_free_costs_no_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=2)
    monkeypatch.setattr(others, "claim_next", None)
    task = table.add(rung=True)
    table.claim()
    assert table.running == [task]


def test_a_ring_beside_a_backlog_has_the_pairs_looked_for_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    scans: list[Any] = []
    monkeypatch.setattr(
        pair_scan, "learn_pairs", lambda using, known, **which: scans.append(known)
    )
    table.claimer._looks.cursors["bulk", -50, False] = uuid.uuid4()
    for _ in range(3):
        table.add(rung=True)
    table.claim()
    assert scans == [[table.claimer._looks.cursors]]
    # Not at each ring: a scan may take long, and is worth a small part of the time.
    table.claimer._pair_scan._next += 3600
    table.end(table.running[0])
    table.add(rung=True)
    table.claim()
    assert len(scans) == 1
    table.claimer._pair_scan._next = 0.0
    table.end(table.running[0])
    table.claim()
    assert len(scans) == 2


def test_what_is_rung_for_in_a_paused_queue_does_not_stand_before_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    table.claimer.pauses.now = Paused(frozenset({"mail"}))
    paused, other = uuid.uuid4(), uuid.uuid4()

    table.claimer.wake([(paused, "mail"), (other, "default")])

    assert table.claimer.hints.take()[0] == {other}


def test_a_look_that_stops_among_what_is_paused_goes_on_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(monkeypatch, threads=1)
    later = table.add(rung=False)
    looks = []

    def passes_over(using: str, worker: int, limit: int, **which: Any) -> list[Any]:
        looks.append(limit)
        which["passing"].more = len(looks) < 3
        return table._claim_next(using, worker, limit) if len(looks) == 3 else []

    monkeypatch.setattr(others, "claim_next", passes_over)
    table.claimer.hints.table = True
    table.claim()

    assert table.running == [later]
    assert len(looks) == 3
