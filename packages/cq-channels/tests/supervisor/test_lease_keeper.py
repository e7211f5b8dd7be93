"""The keeper of leases does what is asked of processes behind their heartbeat."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from cq.models import Worker
from cq.tables.worker_rows import Request
from cq.workers import requests
from cq.workers.lease import Lease, new_worker_id
from cq_channels.child.shared_page import SharedPage
from cq_channels.supervisor.lease_keeper import LeaseKeeper
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
