"""The parts of a supervisor, without processes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cq.lifecycle import Claim
from cq.models import Task
from cq_channels import board as boards
from cq_channels import processes
from cq_channels.board import Board
from cq_channels.held import Held
from cq_channels.pipe import Pipe
from cq_channels.plan import Plan
from cq_channels.processes import STUCK, Process
from cq_channels.signals import RELOAD, Signals
from cq_channels.slots import put_off
from cq_channels.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create()
    yield made
    made.close()


def other_end(board: Board) -> Board:
    return Board(os.dup(board.fd))


# --- the board ------------------------------------------------------------------------


def test_the_other_side_reads_what_has_begun_and_not_ended(board: Board) -> None:
    other = other_end(board)
    first, second = uuid.uuid4(), uuid.uuid4()
    place = other.begin(first)
    other.begin(second)
    assert board.begun() == {first, second}
    assert place is not None
    other.end(place)
    assert board.begun() == {second}
    other.close()


def test_row_28_the_other_side_reads_whether_any_task_has_ended(board: Board) -> None:
    other = other_end(board)
    place = other.begin(uuid.uuid4())
    assert place is not None
    assert not board.worked
    other.end(place)
    assert board.worked
    other.close()


def test_row_28_the_other_side_reads_whether_a_process_is_missing(
    board: Board,
) -> None:
    other = other_end(board)
    assert not other.complete
    board.complete = True
    assert other.complete
    board.complete = False
    assert not other.complete
    other.close()


def test_the_other_side_reads_the_moment_of_the_heartbeat(board: Board) -> None:
    other = other_end(board)
    assert other.beaten == 0.0
    board.beaten = 1234.5
    assert other.beaten == 1234.5
    other.close()


def test_more_tasks_than_there_are_places_are_not_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boards, "_SIZE", boards._FIRST + 2 * boards._PLACE.size)
    small = Board.create()
    places = [small.begin(uuid.uuid4()) for _ in range(3)]
    assert places[2] is None
    assert small.begun() is None
    small.close()


def test_the_other_side_reads_whose_time_is_over(board: Board) -> None:
    other = other_end(board)
    first, second, third = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    places = [other.begin(task_id) for task_id in (first, second, third)]
    assert None not in places
    other.limit(places[0] or 0, 100.0)
    other.limit(places[1] or 0, 200.0)
    assert board.overdue(50.0) == set()
    assert board.overdue(150.0) == {first}
    other.limit(places[0] or 0, 0.0)
    assert board.overdue(1000.0) == {second}
    other.end(places[1] or 0)
    assert board.overdue(1000.0) == set()
    assert board.begun() == {first, third}
    other.close()


# --- what is held ---------------------------------------------------------------------


def held_task(held: Held, *, rerun_lost: bool = True) -> tuple[Any, Claim]:
    task = Task(pk=uuid.uuid4(), rerun_lost=rerun_lost)
    claim = Claim(task.pk, 1, 1)
    held.add([claim])
    return task, claim


def test_a_task_stands_on_the_board_from_its_begin_to_its_outcome(board: Board) -> None:
    held = Held(board)
    task, claim = held_task(held, rerun_lost=False)
    assert board.begun() == set()
    held.begin(task)
    assert board.begun() == {task.pk}
    held.finish(task)  # for it may not run again
    assert board.begun() == {task.pk}
    held.drop(claim)
    assert board.begun() == set()


def test_a_finished_task_that_may_run_again_is_not_held_to_account(
    board: Board,
) -> None:
    held = Held(board)
    task, claim = held_task(held)
    held.begin(task)
    held.finish(task)
    assert board.begun() == set()
    held.drop(claim)
    assert len(held) == 0


def test_a_task_that_is_back_under_a_later_claim_has_one_place(board: Board) -> None:
    held = Held(board)
    task, claim = held_task(held)
    held.begin(task)
    later = claim._replace(fence=3)
    held.add([later])
    held.begin(task)
    held.drop(claim)
    assert board.begun() == {task.pk}
    held.drop(later)
    assert board.begun() == set()


def test_the_time_of_a_run_stands_on_the_board_until_its_function_has_ended(
    board: Board,
) -> None:
    held = Held(board)
    task, _ = held_task(held)
    held.limit(task.pk, 5.0)  # it has not begun
    held.begin(task)
    assert board.overdue(10.0) == set()
    held.limit(task.pk, 5.0)
    assert board.overdue(10.0) == {task.pk}
    held.limit(task.pk, 0.0)
    assert board.overdue(10.0) == set()


# --- the pipe -------------------------------------------------------------------------


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe, Pipe]]:
    one, two = socket.socketpair()
    yield Pipe(one), Pipe(two)
    one.close()
    two.close()


def test_messages_arrive_whole_however_they_are_cut(pipes: tuple[Pipe, Pipe]) -> None:
    one, two = pipes
    one.end.sendall(b'{"a": 1}\n{"b"')
    assert two.receive() == [{"a": 1}]
    two.end.setblocking(False)
    assert two.receive() == []
    one.end.sendall(b": 2}\n")
    assert two.receive() == [{"b": 2}]


def test_a_closed_end_reads_as_none_and_cannot_be_sent_to(
    pipes: tuple[Pipe, Pipe],
) -> None:
    one, two = pipes
    two.close()
    assert one.receive() is None
    assert not one.send(stop=1.0)


def test_an_end_that_nobody_reads_is_given_up_without_waiting(
    pipes: tuple[Pipe, Pipe],
) -> None:
    one, two = pipes
    sent = 0
    while one.send(text="x" * 1000):
        sent += 1
    assert not one.send(text="y")
    # What had been sent whole can be read.
    read = 0
    while read < sent:
        found = two.receive()
        assert found is not None
        read += len(found)
    assert read == sent


# --- signals --------------------------------------------------------------------------


def test_signals_are_read_in_their_order_and_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signals.send(RELOAD)
        signal.raise_signal(signal.SIGHUP)
        assert signals.read() == [signal.SIGTERM, RELOAD, signal.SIGHUP]
        assert signals.read() == []
    assert signal.getsignal(signal.SIGTERM) is before
    signals.send(RELOAD)  # from a thread that comes late


# --- replacing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "lived", "worked", "after", "delay"),
    [
        (0, 100.0, False, 0, 0.0),  # after a good while: at once
        (0, 0.5, False, 1, 0.1),
        (1, 0.5, False, 2, 0.2),
        (4, 0.5, False, 5, 1.6),
        (40, 0.5, False, 41, 30.0),  # never longer
        (40, 100.0, False, 0, 0.0),
        (40, 0.5, True, 0, 0.0),  # it had run others: what kills it is a task
    ],
)
def test_row_32_who_dies_at_once_is_replaced_later_each_time(
    failures: int, lived: float, worked: bool, after: int, delay: float
) -> None:
    assert put_off(failures, lived, worked) == (after, pytest.approx(delay))


@pytest.mark.parametrize(
    ("code", "killed", "memory", "said"),
    [
        (0, False, None, "exited with code 0"),
        (1, False, 3 * 2**20, "exited with code 1, memory last seen: 3 MiB"),
        (-11, False, None, "was killed by SIGSEGV"),
        (-9, True, None, "was killed by SIGKILL"),
        (-9, False, None, "was killed by SIGKILL (by hand, or for want of memory)"),
        (-99, False, None, "was killed by signal 99"),
    ],
)
def test_row_21_how_a_process_ended_is_said(
    code: int, killed: bool, memory: int | None, said: str
) -> None:
    process: Any = Process.__new__(Process)
    process.popen = SimpleNamespace(returncode=code)
    process.killed, process.memory = killed, memory
    assert process.how_it_ended() == said


def test_memory_is_read_where_the_system_tells() -> None:
    assert (processes.resident_here() or 0) > 2**20
    assert processes.resident(2**22 + 1) is None


def test_a_child_is_started_as_its_supervisor_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As by a path, however these tests were started.
    monkeypatch.setattr("__main__.__spec__", None, raising=False)
    monkeypatch.setattr("sys.argv", [__file__, "cqworker", "--threads", "2"])
    command = processes._command(None)
    assert command[-3:] == [__file__, "cqworker", "--skip-checks"]
    assert processes._environment() == dict(os.environ)
    monkeypatch.setattr("sys.argv", ["some-program"])
    command = processes._command("/srv")
    assert command[-6:] == [
        "-m",
        "django",
        "cqworker",
        "--skip-checks",
        "--pythonpath",
        "/srv",
    ]
    assert "PYTHONPATH" in processes._environment()


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
    plan = Plan("default", 1, 1, 1, drain=0.0)
    supervisor = Supervisor(plan, print)
    (slot,) = supervisor.slots
    before = len(os.listdir("/proc/self/fd"))
    with supervisor._signals, room_for(files):
        supervisor._fill(slot)
        supervisor._fill(slot)
    # And the two ends of its signals, which are closed by now.
    assert len(os.listdir("/proc/self/fd")) == before - 2
    assert slot.process is None
    assert supervisor.processes == []
    assert slot.failures == 2
    assert "no process can be started, next try in 0.2 s" in caplog.text
    supervisor._selector.close()


def test_row_28_each_process_is_told_whether_one_is_missing() -> None:
    supervisor = Supervisor(Plan("default", 2, 1, 1, drain=0.0), print)
    processes = [FakeProcess(Board.create()) for _ in supervisor.slots]
    first, second = supervisor.processes = [*processes]
    for slot, process in zip(supervisor.slots, processes, strict=True):
        slot.process = process
    with supervisor._signals:
        supervisor._is_ready(first)
        assert not first.board.complete
        supervisor._is_ready(second)
        assert first.board.complete
        assert second.board.complete
        # What they hold back may run: they look at once.
        assert [p.told for p in processes] == [["wake"], ["wake"]]
        supervisor.slots[1].process = None
        supervisor._tell_who_is_there()
        assert not first.board.complete
        supervisor.slots[1].done = True  # it is not to come back
        supervisor._tell_who_is_there()
        assert first.board.complete
    supervisor._selector.close()
    for process in processes:
        process.board.close()


def test_row_28_a_process_that_starts_is_not_missing_to_itself(
    supervisor: Supervisor, board: Board
) -> None:
    # Else what it holds back for a moment would find its threads taken by what came later.
    process = FakeProcess(board)
    supervisor.slots[0].process = process
    supervisor.processes.append(process)
    supervisor._tell_who_is_there()
    assert not process.ready
    assert board.complete
    supervisor.processes.clear()


# --- tasks that cannot be ended -------------------------------------------------------


class FakeProcess(Process):
    """One that is told things, and runs nowhere."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.told: list[str] = []
        self.worker = 1
        self.ready = self.leaving = self.killed = False
        self.late, self.stuck, self.kill_at = set(), set(), None

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
    found = Supervisor(Plan("default", 1, 1, 1, drain=3600.0), print)
    with found._signals:
        yield found
    found._selector.close()


def test_row_29_who_runs_what_cannot_be_ended_is_replaced_and_killed_last(
    supervisor: Supervisor, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    process = FakeProcess(board)
    slot = supervisor.slots[0]
    slot.process = process
    stuck, other = board.begin(uuid.uuid4()), board.begin(uuid.uuid4())
    assert stuck is not None
    assert other is not None
    board.limit(stuck, time.monotonic() - STUCK - 1.0)

    supervisor._look_for_stuck_tasks(process)
    assert process.told == []  # what is just being written may be read wrongly
    supervisor._look_for_stuck_tasks(process)
    assert process.told == ["leave"]
    assert slot.process is None
    assert "cannot be ended; another process takes its place" in caplog.text

    supervisor._look_for_stuck_tasks(process)
    assert process.told == ["leave"]  # the other one runs
    board.end(other)
    supervisor._look_for_stuck_tasks(process)
    assert process.told == ["leave", "kill"]


def test_row_29_what_ends_after_all_is_not_killed(
    supervisor: Supervisor, board: Board
) -> None:
    process = FakeProcess(board)
    place = board.begin(uuid.uuid4())
    assert place is not None
    board.limit(place, time.monotonic() - STUCK - 1.0)
    for _ in range(2):
        supervisor._look_for_stuck_tasks(process)
    board.end(place)
    process.told.clear()
    for _ in range(3):
        supervisor._look_for_stuck_tasks(process)
    assert process.told == []


def test_row_29_a_task_within_its_time_is_left_alone(
    supervisor: Supervisor, board: Board
) -> None:
    process = FakeProcess(board)
    place = board.begin(uuid.uuid4())
    assert place is not None
    for moment in (time.monotonic() + 100.0, time.monotonic() - STUCK / 2):
        board.limit(place, moment)
        for _ in range(3):
            supervisor._look_for_stuck_tasks(process)
    assert process.told == []
