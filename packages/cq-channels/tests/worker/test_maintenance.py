"""What a worker's maintenance does for the runs of its own process."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models.functions import Now
from heard import PATIENCE

from cq import task
from cq.db.statements import BATCH
from cq.execution.ended import Ended
from cq.logs import writer as module
from cq.logs.writer import LogWriter
from cq.models import Task
from cq.status import Status
from cq_channels.worker import maintenance as module_of_jobs
from cq_channels.worker.in_flight import InFlight
from cq_channels.worker.maintenance import Maintenance
from cq_channels.worker.slot_observer import SlotObserver
from cq_channels.worker.task_lines import TaskLines

if TYPE_CHECKING:
    from cq.logs.buffer import LogBuffer


@task
def nothing(cqt: Any, n: int) -> None: ...


class Recorder(LogWriter):
    """A writer that notes on which thread it has written a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str] = []
        self.written = threading.Semaphore(0)

    def _write(self, buffer: LogBuffer) -> None:
        self.threads.append(threading.current_thread().name)
        self.written.release()


@pytest.mark.backend("postgres", "valkey", "postgres14", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_lines_are_written_on_its_thread_while_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = Recorder()
    monkeypatch.setattr(module, "writer", writer)
    maintenance = Maintenance("default", 11, InFlight(), False, print, pytest.fail)
    buffer: Any = SimpleNamespace(using="default")

    maintenance.start()
    writer.touch(buffer)
    assert writer.written.acquire(timeout=PATIENCE)
    maintenance.stop(PATIENCE)
    writer.touch(buffer)
    assert writer.written.acquire(timeout=PATIENCE)

    assert writer.threads == ["cq-maintenance", "cq-logs"]
    writer.close(PATIENCE)


@pytest.mark.django_db(transaction=True)
def test_the_moment_of_a_postponed_task_is_looked_at_and_not_after_the_next_poll(
    settings: Any,
) -> None:
    settings.CQ_POLL = 3600
    maintenance = Maintenance("default", 11, InFlight(), False, print, pytest.fail)
    assert maintenance._queue_due() > 1000
    for seconds in (300.0, 20.0, 100.0):
        maintenance.postponed(seconds)
    assert 10 < maintenance._queue_due() <= 20
    assert maintenance._jobs._due[module_of_jobs._QUEUE_DUE] < time.monotonic() + 20
    # What has come is looked for now, and the next one is known.
    maintenance._moments[0] = time.monotonic()
    assert 90 < maintenance._queue_due() <= 100


@pytest.mark.django_db(transaction=True)
def test_behind_a_look_that_found_as_many_as_it_takes_comes_another_at_once(
    settings: Any,
) -> None:
    settings.CQ_POLL = 3600
    settings.CQ_RUN_INLINE = False
    tasks = nothing.using(delay=60).delay_many([(n,) for n in range(BATCH + 1)])
    Task.objects.filter(pk__in=[task.pk for task in tasks]).update(
        run_after=Now() - timedelta(seconds=1)
    )
    maintenance = Maintenance("default", 11, InFlight(), False, print, pytest.fail)
    assert maintenance._queue_due() == 0
    assert maintenance._queue_due() > 1000
    assert not Task.objects.exclude(status=Status.QUEUED).exists()


def test_a_run_that_is_to_be_tried_again_wakes_it_at_that_moment() -> None:
    seconds: list[float] = []
    task: Any = Task(name="x", fence=1, worker_id=11)
    task.ended = Ended(Status.RETRY, retry_in=3.0)
    observer = SlotObserver(
        InFlight(),
        lambda: None,
        pytest.fail,
        pytest.fail,
        TaskLines(failures=False),
        seconds.append,
    )
    observer.finished(task, False, 0.1)
    task.ended = Ended(Status.FAILURE)
    observer.finished(task, False, 0.1)
    assert seconds == [3.0]
