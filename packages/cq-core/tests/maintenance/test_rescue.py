"""What becomes of the tasks of workers that are gone, and of workers that come back."""

from __future__ import annotations

import fcntl
import logging
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import driving
import pytest
from django.contrib.auth.models import Group
from django.db import connection
from forced import (
    AFTER,
    BEFORE,
    NOW,
    WORKER,
    draft,
    forced,
    forced_many,
    held,
    register,
    row,
    saved,
    status,
)
from racing import race, rounds

from cq import lifecycle, task
from cq.execution import sync_runner
from cq.maintenance import rescue, sweep
from cq.models import Task, Worker
from cq.status import Status
from cq.workers import liveness, lock_files
from cq.workers.lease import Lease
from cq.workflow import advance

if TYPE_CHECKING:
    from collections.abc import Iterator

DB = "default"

needs_heartbeats = pytest.mark.backend("postgres", "valkey", "mariadb")
needs_lock_files = pytest.mark.backend("sqlite")


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_LEASE = 15


def rescue_dead(slots: int = 1) -> int:
    """With WORKER dead: silent for too long, and its lock file nobody's."""
    register(seen=BEFORE)
    Worker.objects.filter(pk=WORKER).update(slots=slots)
    return rescue.rescue_dead(DB, NOW)


@pytest.mark.django_db(transaction=True)
def test_row_75_of_two_rescuers_one_rescues_and_one_loss_is_counted() -> None:
    workers = list(range(1000, 1000 + rounds(60)))
    saved([draft(Status.RUNNING, worker_id=worker) for worker in workers])

    def rescues(worker: int) -> int:
        return rescue.rescue(DB, worker, "it was gone")

    one, other = race(workers, rescues, rescues)

    assert [a + b for a, b in zip(one, other, strict=True)] == [1] * len(workers)
    seen = Task.objects.values_list("status", "losses", "fence", "worker_id")
    assert set(seen) == {(Status.QUEUED, 1, 2, None)}


# --- what becomes of the task ---------------------------------------------------------


@pytest.mark.django_db
def test_the_task_of_a_dead_worker_is_queued_again_with_a_loss() -> None:
    lost = forced(Status.RUNNING, attempts=2, fence=5, outcome=Status.INCOMPLETE)

    assert rescue_dead() == 1

    found = row(lost)
    assert (found["status"], found["worker_id"]) == (Status.QUEUED, None)
    assert (found["fence"], found["attempts"], found["losses"]) == (6, 2, 1)
    assert (found["outcome"], found["started"], found["failures"]) == (None, None, 0)
    assert not Worker.objects.filter(pk=WORKER).exists()


@pytest.mark.django_db
def test_row_71_a_task_that_may_not_run_twice_is_lost_with_all_that_hangs_on_it() -> (
    None
):
    parent = forced(Status.WAITING, open_children=1)
    lost = forced(Status.RUNNING, parent, rerun_lost=False, open_children=2)
    done = forced(Status.COMPLETE, lost)
    still_open = forced(Status.QUEUED, lost)
    below = forced(Status.PENDING, still_open)

    assert rescue_dead() == 1

    assert status(lost) == Status.LOST
    assert row(lost)["error"].startswith("The outcome was not observed: its worker")
    assert row(lost)["exception"] is None
    assert status(done) == Status.COMPLETE
    assert (status(still_open), status(below)) == (Status.REVOKED, Status.REVOKED)
    assert status(parent) == Status.INCOMPLETE
    assert f"{lost.pk} is LOST" in row(parent)["error"]


@pytest.mark.django_db
def test_row_28_the_third_worker_that_dies_under_a_task_is_the_last() -> None:
    poison, innocent = forced(Status.RUNNING, losses=2), forced(Status.RUNNING)

    assert rescue_dead(slots=2) == 2

    assert (status(poison), row(poison)["losses"]) == (Status.LOST, 3)
    assert (status(innocent), row(innocent)["losses"]) == (Status.QUEUED, 1)


@pytest.mark.django_db
def test_what_had_not_begun_does_not_pay_for_the_death_of_its_worker() -> None:
    newest = forced(Status.RUNNING, started=NOW, attempts=1, losses=2)
    first, second = (
        forced(Status.RUNNING, started=BEFORE, attempts=1, losses=2, fence=5)
        for _ in range(2)
    )

    assert rescue_dead(slots=1) == 3

    assert status(first) == Status.LOST
    for ahead in (second, newest):
        found = row(ahead)
        assert (found["status"], found["worker_id"]) == (Status.QUEUED, None)
        assert (found["attempts"], found["losses"]) == (0, 2)
    assert row(second)["fence"] == 6


@pytest.mark.django_db
def test_what_may_not_run_twice_is_never_claimed_ahead_so_it_had_begun() -> None:
    # Older ones may be done, with only their outcome not written; and a worker runs
    # more coroutines than it has threads.
    older = [forced(Status.RUNNING, attempts=1, started=BEFORE) for _ in range(2)]
    begun = [
        forced(Status.RUNNING, rerun_lost=False, attempts=1, started=NOW)
        for _ in range(3)
    ]

    assert rescue_dead(slots=1) == 5

    assert [status(task) for task in begun] == [Status.LOST] * 3
    assert [row(task)["losses"] for task in older] == [1, 0]


@pytest.mark.django_db
def test_which_had_begun_may_be_known() -> None:
    ahead, poison = (
        forced(Status.RUNNING, attempts=1, losses=2, started=BEFORE) for _ in range(2)
    )
    register(seen=BEFORE)

    assert rescue.rescue(DB, WORKER, "it was killed", NOW, begun=[poison.pk]) == 2

    assert (status(ahead), row(ahead)["losses"]) == (Status.QUEUED, 2)
    assert status(poison) == Status.LOST


@pytest.mark.django_db
def test_the_number_of_losses_is_a_setting(settings: Any) -> None:
    settings.CQ_MAX_LOSSES = 1
    poison = forced(Status.RUNNING)

    rescue_dead()

    assert status(poison) == Status.LOST


@pytest.mark.django_db
def test_open_subtasks_of_a_lost_attempt_go_before_the_next_and_do_not_count() -> None:
    lost = forced(Status.RUNNING, open_children=1)
    done, still_open = forced(Status.COMPLETE, lost), forced(Status.QUEUED, lost)

    rescue_dead()

    assert (status(done), status(still_open)) == (Status.COMPLETE, Status.REVOKED)
    assert "attempt that made it was lost" in row(still_open)["error"]
    assert not Task.objects.filter(parent=lost, counted=True).exists()
    # The next attempt makes its own, and waits for those alone.
    run = driving.claim(lost)
    assert lifecycle.complete(
        DB, lifecycle.Claim(run.pk, run.fence, driving.WORKER), "1", children=1
    )
    child = forced(Status.COMPLETE, lost)
    advance.after_settled(DB, [child.pk, still_open.pk])
    assert status(lost) == Status.COMPLETE


@pytest.mark.django_db
def test_only_some_of_the_tasks_of_a_worker_are_rescued_when_asked() -> None:
    one, other = forced_many(2, Status.RUNNING)

    assert rescue.rescue(DB, WORKER, "killed by signal 9", only=[one.pk]) == 1

    assert (status(one), status(other)) == (Status.QUEUED, Status.RUNNING)


# --- who comes back -------------------------------------------------------------------


@task
def _writes_a_row(cqt: Any) -> str:
    Group.objects.create(name="effect")
    cqt.subtask(_does_nothing)
    # Here it freezes, is taken for dead, and comes back.
    rescue.rescue(DB, driving.WORKER, "it was frozen")
    return "done"


@task(atomic=False, on_lost="fail")
def _starts_a_subtask_too_late(cqt: Any) -> str:
    cqt.subtask(_does_nothing)
    rescue.rescue(DB, driving.WORKER, "it was frozen")
    cqt.subtask(_does_nothing)
    return "done"


@task
def _does_nothing(cqt: Any) -> None: ...


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_row_23_a_frozen_worker_that_comes_back_changes_nothing() -> None:
    from racing import beside

    made = _writes_a_row.delay()
    real = rescue.rescue
    rescued = []

    def from_another_connection(*args: Any) -> Any:
        # Nothing of the frozen run, whose transaction is open, is waited for.
        rescued.append(beside(lambda: real(*args)).result(10))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rescue, "rescue", from_another_connection)
        after = driving.run(made)

    assert rescued == [1]
    assert (after.status, after.losses, after.result) == (Status.QUEUED, 1, None)
    assert not Group.objects.exists()
    assert list(Task.objects.values_list("pk", flat=True)) == [made.pk]
    # The next run is undisturbed by what the stale one may still say.
    stale = lifecycle.Claim(made.pk, 1, driving.WORKER)
    assert lifecycle.fail(DB, stale, lifecycle.Failure.of("late")) is None


@pytest.mark.django_db(transaction=True)
def test_row_23_a_stale_run_that_is_not_atomic_starts_no_more_subtasks() -> None:
    made = _starts_a_subtask_too_late.delay()

    after = driving.run(made)

    assert (after.status, after.result) == (Status.LOST, None)
    children = Task.objects.filter(parent=made)
    assert [c.status for c in children] == [Status.REVOKED]


@pytest.mark.django_db
def test_a_stale_run_in_somebodys_transaction_is_undone_to_its_savepoint() -> None:
    made = _writes_a_row.delay()

    # On its own connection the rescue is part of what is undone, so the fence is
    # raised from outside it.
    run = driving.claim(made)
    Task.objects.filter(pk=made.pk).update(fence=9)
    sync_runner.execute(run)

    assert (status(made), row(made)["fence"]) == (Status.RUNNING, 9)
    assert not Group.objects.exists()
    assert Task.objects.count() == 1


# --- who is dead ----------------------------------------------------------------------


@needs_heartbeats
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("silent", "dead"),
    [
        (timedelta(seconds=14), False),
        (timedelta(seconds=16), True),
        # The clock of the database was set back.
        (-timedelta(minutes=5), False),
    ],
)
def test_a_worker_is_dead_when_it_was_silent_for_a_lease(
    silent: timedelta, dead: bool
) -> None:
    running = forced(Status.RUNNING)
    register(seen=NOW - silent)

    assert rescue.rescue_dead(DB, NOW) == dead

    assert status(running) == (Status.QUEUED if dead else Status.RUNNING)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "with_task", "level"),
    [
        ("cqworker", False, "WARNING"),
        ("inline", False, "INFO"),
        ("inline", True, "WARNING"),
    ],
)
def test_a_site_that_ends_with_nothing_to_do_is_no_warning(
    kind: str, with_task: bool, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    register(seen=BEFORE)
    Worker.objects.update(kind=kind)
    if with_task:
        forced(Status.RUNNING)

    rescue.rescue_dead(DB, NOW)

    said = [r for r in caplog.records if "is gone" in r.getMessage()]
    assert [r.levelname for r in said] == [level]


@pytest.mark.django_db
def test_what_runs_under_a_worker_without_a_row_is_rescued() -> None:
    running = forced(Status.RUNNING)

    assert rescue.rescue_dead(DB, NOW) == 1

    assert status(running) == Status.QUEUED


@pytest.fixture
def mine() -> Iterator[Lease]:
    lease = Lease(DB, "test")
    lease.register(BEFORE)
    yield lease
    lease.close()


@pytest.mark.django_db
def test_nobody_takes_himself_for_dead(mine: Lease) -> None:
    running = forced(Status.RUNNING, worker_id=mine.worker)

    assert rescue.rescue_dead(DB, NOW) == 0
    Worker.objects.all().delete()
    assert rescue.rescue_dead(DB, NOW) == 0

    assert status(running) == Status.RUNNING


@pytest.mark.django_db
def test_a_lease_registers_again_when_its_row_was_removed(mine: Lease) -> None:
    assert mine.beat()
    liveness.forget(DB, mine.worker)
    assert not mine.beat()

    mine.register(AFTER)
    mine.register(AFTER)

    assert Worker.objects.get().last_seen == AFTER


@pytest.mark.django_db
def test_a_closed_lease_leaves_nothing(mine: Lease) -> None:
    path = lock_files.lock_path(DB, mine.worker)

    mine.close()

    assert not Worker.objects.exists()
    assert not liveness.is_mine(mine.worker)
    assert path is None or not path.exists()


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "wb")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@needs_lock_files
@pytest.mark.django_db
def test_on_sqlite_a_worker_lives_as_long_as_its_lock(settings: Any) -> None:
    path = lock_files.lock_path(DB, WORKER)
    assert path is not None
    assert str(path).startswith(str(connection.settings_dict["NAME"]))
    # Nobody could write a heartbeat while a task holds the one write lock.
    register(seen=BEFORE)
    running = forced(Status.RUNNING)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert rescue.rescue_dead(DB, NOW) == 0
        assert status(running) == Status.RUNNING

        process.kill()
        process.wait()

        assert rescue.rescue_dead(DB, NOW) == 1
    assert status(running) == Status.QUEUED
    assert not path.exists()


@needs_lock_files
@pytest.mark.django_db
def test_looking_at_another_lock_does_not_give_ones_own_away(mine: Lease) -> None:
    register(seen=BEFORE)
    rescue.rescue_dead(DB, NOW)
    path = lock_files.lock_path(DB, mine.worker)
    assert path is not None

    look = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+b'); "
        "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    tried = subprocess.run(
        [sys.executable, "-c", look, str(path)], capture_output=True, check=False
    )

    assert tried.returncode != 0
    assert fcntl is not None


@needs_lock_files
@pytest.mark.django_db
def test_a_worker_whose_lock_file_is_gone_is_dead() -> None:
    register(seen=AFTER)
    running = forced(Status.RUNNING)

    assert rescue.rescue_dead(DB, NOW) == 1
    assert status(running) == Status.QUEUED


@pytest.mark.django_db
def test_a_sweep_rescues(settings: Any) -> None:
    running = forced(Status.RUNNING)

    assert sweep.sweep(DB, NOW) >= 1

    assert status(running) == Status.QUEUED
    assert held(running).fence < row(running)["fence"]
