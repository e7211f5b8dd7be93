"""What a claimer does with what is paused, and with what it has claimed of it already."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from cq import lifecycle, queues, task
from cq.lifecycle import claim_of
from cq.maintenance.probe import Urgent
from cq.models import Task
from cq.workers import doorbell
from cq.workers.pauses import CHANGED
from cq_channels.worker.claimer import Claimer
from cq_channels.worker.claims import others
from cq_channels.worker.in_flight import InFlight

pytestmark = pytest.mark.django_db


@task("claimer_pauses.mail", queue="mail")
def mail(cqt: Any) -> None: ...


class Threads:
    """Slots in front of which tasks wait that were claimed ahead."""

    count = 1
    free = 1
    duration = 1.0

    def __init__(self, waiting: list[Any]) -> None:
        self.tasks = waiting

    @property
    def waiting(self) -> int:
        return len(self.tasks)

    def all_busy_for(self) -> float:
        return 0.0

    def put(self, made: Any) -> None:
        self.tasks.append(made)

    def take_back(self) -> list[Any]:
        found, self.tasks = self.tasks, []
        return found


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *waiting: Any) -> None:
        self.claims: list[dict[str, Any]] = []
        self.handed_back: list[Any] = []
        self.rung: list[Any] = []
        self.threads = Threads(list(waiting))
        in_flight = InFlight()
        in_flight.add([claim_of(made) for made in waiting])
        lease: Any = SimpleNamespace(using="default", worker=11, healthy=True)
        slots: Any = self.threads
        loop: Any = SimpleNamespace(free=0)
        self.claimer = Claimer(
            lease, slots, loop, in_flight, None, ["shunned"], None, print
        )
        self.in_flight = in_flight
        monkeypatch.setattr(others, "claim_next", self._claim_next)
        monkeypatch.setattr(others, "claim_ids", self._claim_ids)
        monkeypatch.setattr(lifecycle, "hand_back", self._hand_back)
        monkeypatch.setattr(
            doorbell, "ring", lambda using, back: self.rung.append(back)
        )

    def _claim_next(
        self, using: str, worker: int, limit: int, **which: Any
    ) -> list[Any]:
        self.claims.append(which)
        return []

    def _claim_ids(self, using: str, worker: int, ids: Any, **which: Any) -> list[Any]:
        self.claims.append({**which, "ids": ids})
        return []

    def _hand_back(self, using: str, claims: Any) -> list[Any]:
        self.handed_back += [claim.id for claim in claims]
        return [(claim.id, "mail") for claim in claims]


def look(*, paused: bool) -> Urgent:
    return Urgent(due=False, queued=False, unlocked=False, paused=paused)


def made(queue: str = "default", name: str = "other", losses: int = 0) -> Any:
    return Task(
        pk=uuid.uuid4(), name=name, queue=queue, fence=1, worker_id=11, losses=losses
    )


def test_what_is_claimed_ahead_and_paused_goes_back_and_nobody_is_rung(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, paused, by_name, other = (
        made(),
        made("mail"),
        made(name="claimer_pauses.mail"),
        made(),
    )
    bench = Bench(monkeypatch, one, paused, by_name, other)
    queues.pause("mail")
    queues.pause(task="claimer_pauses.mail")
    bench.rung.clear()

    bench.claimer._claim()

    assert bench.handed_back == [paused.pk, by_name.pk]
    # The others wait on, in their order.
    assert bench.threads.tasks == [one, other]
    assert len(bench.in_flight) == 2
    assert bench.rung == []


def test_who_is_told_claims_nothing_of_it_until_it_is_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    bench.claimer._claim()
    assert bench.claims[0]["exclude"] == ["shunned"]
    assert not bench.claims[0]["passing"].names

    queues.pause("mail")
    queues.pause(task="claimer_pauses.mail")
    bench.claims.clear()
    rung = [(CHANGED, ""), (uuid.uuid4(), "mail")]
    bench.claimer.wake(rung)
    bench.claimer._claim()

    assert [claim["exclude"] for claim in bench.claims] == [["mail", "shunned"]] * 2
    by_look, by_id = bench.claims
    assert by_look["passing"].names == {"claimer_pauses.mail"}
    assert "claimer_pauses.mail" in by_id["without"]
    # It is a sign, and no task to look for.
    assert CHANGED not in by_id["ids"]

    queues.resume("mail")
    queues.resume(task="claimer_pauses.mail")
    bench.claims.clear()
    # With something paused, any sign to look at the table is one to ask.
    bench.claimer.wake(None)
    bench.claimer._claim()
    assert bench.claims[0]["exclude"] == ["shunned"]
    assert not bench.claims[0]["passing"].names


@pytest.mark.backend("sqlite")
def test_where_each_commit_rings_one_after_a_pause_claims_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    bench.claimer._claim()
    queues.pause("mail")
    bench.claims.clear()

    bench.claimer.wake(None)
    bench.claimer._claim()

    assert [claim["exclude"] for claim in bench.claims] == [["mail", "shunned"]]


def test_a_look_that_finds_a_pause_wakes_the_claimer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    bench.claimer._claim()
    bench.claimer._wake.clear()

    bench.claimer.looked(look(paused=False), 0.0)
    assert not bench.claimer._wake.is_set()
    bench.claimer.looked(look(paused=True), 0.0)
    assert bench.claimer._wake.is_set()
