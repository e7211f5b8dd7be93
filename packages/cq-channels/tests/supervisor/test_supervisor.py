"""The supervisor, without processes."""

from __future__ import annotations

import contextlib
import os
import resource
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from cq_channels.child.shared_page import SharedPage
from cq_channels.supervisor.options import WorkerOptions
from cq_channels.supervisor.process import STUCK_SECONDS, Process
from cq_channels.supervisor.supervisor import EXIT_BROKEN, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator


FACTS = {"tasks": 3, "doorbell": "NOTIFY", "schedules": None}


class FakeProcess(Process):
    """One that is told things, and runs nowhere."""

    def __init__(self, page: SharedPage) -> None:
        self.shared_page = page
        self.told: list[str] = []
        self.worker = 1
        self.ready = self.leaving = self.killed = self._worked = False
        self.overdue, self.stuck, self.kill_at = set(), set(), None

    def __str__(self) -> str:
        return "process 1"

    def leave(self) -> None:
        self.told.append("leave")

    def kill(self) -> None:
        self.told.append("kill")

    def wake(self) -> None:
        self.told.append("wake")


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    found = Supervisor(WorkerOptions("default", 1, 1, 1, drain=3600.0), print)
    with found._signals:
        yield found
    found._selector.close()


# --- places ---------------------------------------------------------------------------


@contextlib.contextmanager
def room_for(files: int) -> Iterator[None]:
    """Have this process open no more than so many files, for a while."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as first:
        most = first.fileno() + files
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("files", [0, 1, 2, 3, 4, 5, 6])
def test_row_32_without_room_for_files_a_process_is_put_off_and_leaves_none_open(
    files: int, caplog: pytest.LogCaptureFixture
) -> None:
    options = WorkerOptions("default", 1, 1, 1, drain=0.0)
    supervisor = Supervisor(options, print)
    (place,) = supervisor.places
    before = len(os.listdir("/proc/self/fd"))
    with supervisor._signals, room_for(files):
        supervisor._start_process(place)
        supervisor._start_process(place)
    # And the two ends of its signals, which are closed by now.
    assert len(os.listdir("/proc/self/fd")) == before - 2
    assert place.process is None
    assert supervisor.processes == []
    assert place.failures == 2
    assert "no process can be started, next try in 0.2 s" in caplog.text
    supervisor._selector.close()


def test_row_28_each_process_is_told_whether_one_is_missing() -> None:
    supervisor = Supervisor(WorkerOptions("default", 2, 1, 1, drain=0.0), print)
    fakes = [FakeProcess(SharedPage.create()) for _ in supervisor.places]
    first, second = supervisor.processes = [*fakes]
    for place, process in zip(supervisor.places, fakes, strict=True):
        place.process = process
    with supervisor._signals:
        supervisor._is_ready(first, FACTS)
        assert not first.shared_page.complete
        supervisor._is_ready(second, FACTS)
        assert first.shared_page.complete
        assert second.shared_page.complete
        # What they hold back may run: they look at once.
        assert [p.told for p in fakes] == [["wake"], ["wake"]]
        supervisor.places[1].process = None
        supervisor._share_completeness()
        assert not first.shared_page.complete
        supervisor.places[1].done = True  # it is not to come back
        supervisor._share_completeness()
        assert first.shared_page.complete
    supervisor._selector.close()
    for process in fakes:
        process.shared_page.close()


def test_row_28_a_process_that_starts_is_not_missing_to_itself(
    supervisor: Supervisor, page: SharedPage
) -> None:
    # Else what it holds back for a moment would find its threads taken by what came later.
    process = FakeProcess(page)
    supervisor.places[0].process = process
    supervisor.processes.append(process)
    supervisor._share_completeness()
    assert not process.ready
    assert page.complete
    supervisor.processes.clear()


def test_row_32_without_the_keeper_of_its_leases_it_ends_for_another_to_start() -> None:
    supervisor = Supervisor(WorkerOptions("default", 0, 1, 1, drain=0.0), print)
    with supervisor._signals:
        supervisor.lease_keeper._thread._died("cq-heartbeat")  # type: ignore[misc]
        supervisor._selector.register(supervisor._signals, 1)
        supervisor._step()
        assert supervisor._exit_code == EXIT_BROKEN
        assert supervisor._is_over()
    supervisor._selector.close()


# --- tasks that cannot be ended -------------------------------------------------------


def test_row_29_who_runs_what_cannot_be_ended_is_replaced_and_killed_last(
    supervisor: Supervisor, page: SharedPage, caplog: pytest.LogCaptureFixture
) -> None:
    process = FakeProcess(page)
    place = supervisor.places[0]
    place.process = process
    stuck, other = page.begin(uuid.uuid4()), page.begin(uuid.uuid4())
    assert stuck is not None
    assert other is not None
    page.limit(stuck, time.monotonic() - STUCK_SECONDS - 1.0)

    supervisor._check_stuck_tasks(process)
    assert process.told == []  # what is just being written may be read wrongly
    supervisor._check_stuck_tasks(process)
    assert process.told == ["leave"]
    assert place.process is None
    assert "cannot be ended; another process takes its place" in caplog.text

    supervisor._check_stuck_tasks(process)
    assert process.told == ["leave"]  # the other one runs
    page.end(other)
    supervisor._check_stuck_tasks(process)
    assert process.told == ["leave", "kill"]


def test_row_29_what_ends_after_all_is_not_killed(
    supervisor: Supervisor, page: SharedPage
) -> None:
    process = FakeProcess(page)
    place = page.begin(uuid.uuid4())
    assert place is not None
    page.limit(place, time.monotonic() - STUCK_SECONDS - 1.0)
    for _ in range(2):
        supervisor._check_stuck_tasks(process)
    page.end(place)
    process.told.clear()
    for _ in range(3):
        supervisor._check_stuck_tasks(process)
    assert process.told == []


def test_row_29_a_task_within_its_time_is_left_alone(
    supervisor: Supervisor, page: SharedPage
) -> None:
    process = FakeProcess(page)
    place = page.begin(uuid.uuid4())
    assert place is not None
    for moment in (time.monotonic() + 100.0, time.monotonic() - STUCK_SECONDS / 2):
        page.limit(place, moment)
        for _ in range(3):
            supervisor._check_stuck_tasks(process)
    assert process.told == []
