"""What a wait says of workers, while it lasts and when it has run out: that none is there."""

from __future__ import annotations

import itertools
import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sample_tasks
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext
from driving import claim

from cq import WaitTimeout
from cq.definitions import registry
from cq.models import waiting
from cq.tables.worker_rows import WorkerState
from cq.workers import liveness, requests
from cq.workers.lease import Lease
from cq.workers.liveness import NO_WORKER

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def told(handle: Any) -> str:
    with pytest.raises(WaitTimeout) as caught:
        handle.get(timeout=0.01)
    return str(caught.value).partition(" s")[2]


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Any:
    lease = Lease("default", "worker", queues=getattr(request, "param", None))
    lease.register()
    yield lease
    lease.close()


def test_no_worker_at_all() -> None:
    handle = sample_tasks.square.delay(2)
    assert told(handle) == f": {NO_WORKER}"
    with pytest.raises(WaitTimeout, match="no worker is alive"):
        async_to_sync(handle.aget)(timeout=0.01)


@pytest.mark.parametrize("worker", [["mail"], ["-default"]], indirect=True)
def test_workers_that_leave_its_queue_out(worker: Lease) -> None:
    assert told(sample_tasks.square.delay(2)) == (
        ": no worker serves the queue 'default'; start one with `manage.py cqworker "
        "--queues default`"
    )


@pytest.mark.parametrize("worker", [None, ["default"], ["-mail"]], indirect=True)
def test_a_worker_that_would_run_it_is_only_late(
    worker: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a tasks.py, which is imported when the apps are.
    monkeypatch.setattr(registry, "_late", set())
    assert told(sample_tasks.square.delay(2)) == ""


def test_a_task_that_workers_do_not_import_is_said_to_be_one(
    worker: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_late", {sample_tasks.square.name})
    assert told(sample_tasks.square.delay(2)) == (
        ": workers may not know it, for they import no 'sample_tasks'; add that to "
        "CQ_TASK_MODULES, or import it in the tasks.py of an app"
    )


@pytest.mark.parametrize("state", WorkerState)
def test_a_worker_that_claims_no_more_is_none(
    worker: Lease, state: WorkerState
) -> None:
    requests.tell("default", worker.worker, state)
    assert ": no worker serves the queue 'default';" in told(
        sample_tasks.square.delay(2)
    )


def test_a_task_that_is_not_queued_has_another_reason() -> None:
    handle = sample_tasks.square.delay(2)
    claim(handle)
    assert told(handle) == ""
    assert told(sample_tasks.square.using(run_after=timedelta(60)).delay(2)) == ""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The looks at the workers of a wait, of which each look at the clock takes a second."""
    ticks, own = itertools.count(), liveness.is_any_alive
    looks: list[str] = []

    def look(using: str) -> bool:
        looks.append(using)
        with CaptureQueriesContext(connection) as spent:
            alive = own(using)
        assert len(spent) == 1
        return alive

    # Not of the module itself, by which event loops tell the time, too.
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)), sleep=lambda _: None)
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setattr(waiting, "FIRST_LOOK_SECONDS", 0.0001)
    monkeypatch.setattr(waiting, "LONGEST_LOOK_SECONDS", 0.0001)
    monkeypatch.setattr(liveness, "is_any_alive", look)
    return looks


def wait(handle: Any, way: str) -> None:
    get = handle.get if way == "sync" else async_to_sync(handle.aget)
    with pytest.raises(WaitTimeout):
        get(timeout=60)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_long_wait_says_once_that_no_worker_is_alive(
    way: str, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    handle = sample_tasks.square.delay(2)
    wait(handle, way)
    [record] = caplog.records
    said = f"sample_tasks.square {handle.pk} is waited for, but {NO_WORKER}"
    assert record.getMessage() == said
    assert (record.levelno, record.name) == (logging.WARNING, "cq.local")
    assert len(asked) == 1


@pytest.mark.parametrize("way", ["sync", "async"])
def test_where_a_worker_is_alive_a_long_wait_says_nothing(
    way: str, worker: Lease, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    wait(sample_tasks.square.delay(2), way)
    assert not caplog.records
    assert len(asked) == 1
