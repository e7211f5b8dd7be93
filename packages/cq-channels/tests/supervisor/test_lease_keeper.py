"""The keeper of leases does what is asked of processes behind their heartbeat."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from cq.models import Place, Worker
from cq.tables.worker_rows import Request
from cq.workers import requests
from cq.workers.lease import Lease, new_worker_id
from cq_channels.child.shared_page import SharedPage
from cq_channels.supervisor.lease_keeper import DeadProcess, LeaseKeeper
from cq_channels.supervisor.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator


class FakeProcess(Process):
    """One that is told things, and runs nowhere."""

    def __init__(self) -> None:
        self.worker, self.pid = new_worker_id(), 11
        self.state = self.told_state = self.memory = None
        self.shared_page = SharedPage.create()
        self.told: list[dict[str, Any]] = []
        pipe: Any = SimpleNamespace(send=lambda **said: self.told.append(said))
        self.pipe = pipe


@pytest.fixture
def processes(transactional_db: None) -> Iterator[list[FakeProcess]]:
    found = [FakeProcess(), FakeProcess()]
    leases = [Lease("default", "worker", worker=p.worker) for p in found]
    for lease in leases:
        lease.register()
    yield found
    for process, lease in zip(found, leases, strict=True):
        lease.close()
        process.shared_page.close()


@pytest.mark.parametrize("fails", ["heard", "tell"])
def test_what_cannot_be_noted_comes_with_the_next_heartbeat_and_fails_none(
    processes: list[FakeProcess], fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[None] = []
    health: Any = SimpleNamespace(beat=lambda: beats.append(None))
    keeper = LeaseKeeper("default", None, 1, print, health)
    keeper._living += processes
    for process in processes:
        assert requests.ask("default", process.worker, Request.QUIET)

    def fail(*args: Any) -> None:
        raise OperationalError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(requests, fails, fail)
        keeper._beat()
    assert len(beats) == 1
    for process in processes:
        assert process.shared_page.last_heartbeat > 0
        assert {"quiet": True} in process.told
        assert process.told_state is None

    keeper._beat()
    rows = Worker.objects.values_list("state", "asked")
    assert list(rows) == [("quiet", None)] * 2
    assert [p.told_state for p in processes] == ["quiet"] * 2


def test_a_heartbeat_is_noted_before_anything_is_done_that_may_take_long(
    processes: list[FakeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = LeaseKeeper("default", None, 1, print)
    keeper._living += processes
    noted: list[bool] = []

    def heard(*args: Any) -> None:
        noted.extend(p.shared_page.last_heartbeat > 0 for p in processes)

    monkeypatch.setattr(requests, "heard", heard)
    keeper._beat()
    assert noted == [True, True]


@pytest.mark.parametrize("expected", [True, False])
def test_places_of_what_is_no_task_of_a_dead_process_come_free_with_it(
    processes: list[FakeProcess], expected: bool
) -> None:
    """Of what was revoked, or has outlasted the drain: it ran as long as the process."""
    for number, process in enumerate(processes):
        Place.objects.create(
            key="one", number=number, task=uuid.uuid4(), fence=1, worker=process.worker
        )
    dead, alive = processes
    keeper = LeaseKeeper("default", None, 1, print)
    keeper._dead.append(DeadProcess(dead.worker, set(), "killed", expected))

    keeper._release_dead()

    assert Place.objects.get().worker == alive.worker
