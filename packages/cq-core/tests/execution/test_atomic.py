"""Effects that happen exactly once, or not at all; and what a task may do to its
transaction without harm to the next one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, OperationalError, connection, transaction
from driving import claim, fresh, run, run_all

from cq import LeaseLost, Revoked, TaskFailed, task
from cq.execution import sync_runner
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

server = pytest.mark.backend("postgres", "valkey", "mariadb")
embedded = pytest.mark.backend("sqlite")

runs: list[str] = []
hooks: list[str] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> Iterator[None]:
    settings.CQ_RUN_INLINE = False
    runs.clear()
    hooks.clear()
    yield
    # Whatever a test's task did to its connection, it was put right.
    assert not connection.in_atomic_block
    assert connection.get_autocommit()


def elsewhere(function: Callable[[], Any]) -> None:
    """Call a function on another thread, with a connection of its own."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


@task
def does(cqt: Any, what: str, *args: Any) -> Any:
    """Write a group and a subtask, then do one of the things below."""
    runs.append(what)
    cqt.log(f"before {what}")
    Group.objects.create(name=f"{what} {len(runs)}")
    cqt.subtask(sample_tasks.square, 2)
    cqt.chain(sample_tasks.square, 3)
    sample_tasks.square.delay(4)
    transaction.on_commit(lambda: hooks.append(what))
    return THINGS[what](cqt, *args)


def _raises(cqt: Any) -> None:
    raise ValueError("on purpose")


def _exits(cqt: Any) -> None:
    sys.exit(3)


def _cancels(cqt: Any) -> None:
    raise asyncio.CancelledError("on purpose")


class _Odd(BaseException):
    pass


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def _is_odd(cqt: Any) -> None:
    raise _Odd("neither Exception nor exit")


def _is_unprintable(cqt: Any) -> None:
    raise _Unprintable


def _marks_for_rollback(cqt: Any) -> str:
    transaction.set_rollback(True)
    return "returned"


def _catches_too_late(cqt: Any) -> str:
    Group.objects.create(name="twice")
    with contextlib.suppress(IntegrityError):
        Group.objects.create(name="twice")
    return "returned"


def _closes(cqt: Any) -> str:
    connection.close()
    return "returned"


def _leaks_atomic(cqt: Any) -> str:
    transaction.atomic().__enter__()
    Group.objects.create(name="leaked")
    transaction.atomic().__enter__()
    return "returned"


def _leaks_and_raises(cqt: Any) -> None:
    transaction.atomic().__enter__()
    raise ValueError("on purpose")


def _breaks_a_deferred_constraint(cqt: Any) -> str:
    group = Group.objects.get(name__startswith="breaks")
    User.groups.through.objects.create(user_id=987654, group_id=group.pk)
    return "returned"


def _returns_nonsense(cqt: Any) -> object:
    return {"deep": [object()]}


def _says_revoked(cqt: Any) -> None:
    raise Revoked("says who?")


def _says_lost(cqt: Any) -> None:
    raise LeaseLost("says who?")


THINGS: dict[str, Any] = {
    "raises": _raises,
    "exits": _exits,
    "cancels": _cancels,
    "is odd": _is_odd,
    "is unprintable": _is_unprintable,
    "marks for rollback": _marks_for_rollback,
    "catches too late": _catches_too_late,
    "closes": _closes,
    "leaks atomic": _leaks_atomic,
    "leaks and raises": _leaks_and_raises,
    "breaks a deferred constraint": _breaks_a_deferred_constraint,
    "returns nonsense": _returns_nonsense,
    "says revoked": _says_revoked,
    "says lost": _says_lost,
}

FAILS = {
    "raises": ("ValueError", "on purpose"),
    "exits": ("SystemExit", "3"),
    "cancels": ("asyncio.exceptions.CancelledError", "on purpose"),
    "is odd": (f"{__name__}._Odd", "neither Exception nor exit"),
    "is unprintable": (f"{__name__}._Unprintable", "its text could not be made"),
    "marks for rollback": ("TransactionManagementError", "marked for rollback"),
    "catches too late": ("TransactionManagementError", "database error was caught"),
    "closes": ("TransactionManagementError", "its connection was closed"),
    "leaks atomic": ("TransactionManagementError", "left a transaction of 'default'"),
    "leaks and raises": ("ValueError", "on purpose"),
    "breaks a deferred constraint": ("IntegrityError", ""),
    "returns nonsense": ("cq.errors.CodecError", 'result["deep"][0]: object'),
    "says revoked": ("cq.errors.Revoked", "says who?"),
    "says lost": ("cq.errors.LeaseLost", "says who?"),
}


# --- all or nothing -------------------------------------------------------------------


# Its open block keeps the connection, see test_open_blocks.
@pytest.mark.parametrize("what", sorted(set(FAILS) - {"closes"}))
def test_an_atomic_task_that_fails_leaves_nothing_but_its_outcome_and_its_log(
    what: str,
) -> None:
    kind, text = FAILS[what]
    handle = run(does.delay(what))
    assert handle.status == Status.FAILURE, handle.error
    assert handle.exception.endswith(kind)
    assert text in handle.error
    assert kind.rpartition(".")[2] in handle.traceback
    assert not Group.objects.exists()
    assert list(Task.objects.all()) == [handle]
    assert hooks == []
    assert handle.format_logs() == f"before {what}"
    # The next one finds nothing of it.
    assert run(sample_tasks.square.delay(3)).result == 9


# Without a transaction there is none to mark.
@pytest.mark.parametrize("what", sorted(set(FAILS) - {"marks for rollback"}))
def test_a_task_that_is_not_atomic_keeps_what_it_did_before_it_failed(
    what: str,
) -> None:
    handle = run(does.using(atomic=False).delay(what))
    assert Group.objects.filter(name=f"{what} 1").exists()
    assert not Group.objects.filter(name="leaked").exists()
    assert handle.subtasks.count() == 1
    assert hooks == [what]
    assert handle.format_logs() == f"before {what}"
    run_all()
    ended = fresh(handle)
    if what in ("catches too late", "closes"):  # harmless without a transaction
        assert (ended.status, ended.result) == (Status.COMPLETE, "returned")
    else:
        assert ended.status == Status.FAILURE
        assert ended.exception.endswith(FAILS[what][0])
    assert not Task.objects.filter(status="RUNNING").exists()
    assert run(sample_tasks.square.delay(3)).result == 9


def test_a_task_that_succeeds_leaves_all_of_it() -> None:
    THINGS["succeeds"] = lambda cqt: "fine"
    handle = run(does.delay("succeeds"))
    assert (handle.status, handle.result) == (Status.WAITING, "fine")
    assert Group.objects.count() == 1
    assert Task.objects.count() == 4
    assert hooks == ["succeeds"]
    run_all()
    assert fresh(handle).status == Status.COMPLETE


def test_ctrl_c_ends_the_task_and_reaches_the_caller() -> None:
    THINGS["interrupts"] = _interrupts
    handle = does.delay("interrupts")
    with pytest.raises(KeyboardInterrupt):
        run(handle)
    ended = fresh(handle)
    assert (ended.status, ended.exception) == (Status.FAILURE, "KeyboardInterrupt")
    assert ended.format_logs() == "before interrupts"
    assert not Group.objects.exists()


def _interrupts(cqt: Any) -> None:
    raise KeyboardInterrupt


def test_row_31_autocommit_that_was_switched_off_is_found_too() -> None:
    @task(name="switches autocommit off", atomic=False)
    def switches(cqt: Any) -> str:
        transaction.set_autocommit(False)
        Group.objects.create(name="open")
        return "returned"

    handle = run(switches.delay())
    assert handle.status == Status.FAILURE
    assert "left a transaction of 'default' open" in handle.error
    assert not Group.objects.exists()


@pytest.mark.backend("postgres", "valkey")
def test_a_database_error_caught_by_hand_is_said_in_clear_text() -> None:
    @task(name="breaks the transaction by raw SQL")
    def breaks(cqt: Any) -> str:
        with contextlib.suppress(Exception), connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column")
        return "returned"

    handle = run(breaks.delay())
    assert handle.status == Status.FAILURE
    assert "a database error was caught inside it" in handle.error


@pytest.mark.backend("mariadb")
def test_a_transaction_that_the_server_ended_half_way_is_not_taken_for_whole() -> None:
    @task(name="goes on after its transaction")
    def goes_on(cqt: Any) -> None:
        Group.objects.create(name="before")
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")  # as a deadlock does that is caught
        Group.objects.create(name="after")

    handle = run(goes_on.delay())

    assert handle.status == Status.FAILURE
    assert "had ended before the task did" in handle.error
    assert not Group.objects.exists()


@server
@pytest.mark.parametrize("atomic", [True, False])
def test_row_30_a_connection_cut_by_the_server_is_the_tasks_failure(
    atomic: bool,
) -> None:
    @task(name=f"is cut {atomic}", atomic=atomic)
    def cut(cqt: Any) -> None:
        Group.objects.create(name="before the cut")
        with connection.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute("KILL CONNECTION_ID()")
            else:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    handle = run(cut.delay())
    assert handle.status == Status.FAILURE
    assert handle.exception.endswith("OperationalError")
    assert Group.objects.exists() is not atomic
    assert run(sample_tasks.square.delay(3)).result == 9


# --- the fence ------------------------------------------------------------------------


@pytest.mark.parametrize("atomic", [True, False])
def test_a_run_that_was_revoked_meanwhile_changes_no_status(atomic: bool) -> None:
    @task(name=f"is revoked {atomic}", atomic=atomic)
    def revoked(cqt: Any) -> str:
        elsewhere(lambda: fresh(cqt).revoke("not wanted"))
        Group.objects.create(name="late")
        return "returned"

    handle = run(revoked.delay())
    assert (handle.status, handle.error) == (Status.REVOKED, "not wanted")
    assert handle.result is None
    assert Group.objects.exists() is not atomic


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("then", ["returns", "calls in", "raises"])
def test_a_run_that_revokes_itself_ends_revoked(atomic: bool, then: str) -> None:
    @task(name=f"revokes itself {atomic} {then}", atomic=atomic, retries=1)
    def gives_up(cqt: Any) -> str:
        Group.objects.create(name="before")
        assert cqt.revoke("not needed")
        if then == "calls in" and atomic:
            cqt.check()
        elif then == "raises":
            raise ValueError("on purpose")
        return "returned"

    handle = gives_up.delay()
    follower = handle.chain(sample_tasks.square, 3)
    ended = run(handle)
    assert (ended.status, ended.error) == (Status.REVOKED, "not needed")
    assert (ended.result, ended.exception) == (None, None)
    assert fresh(follower).status == Status.INCOMPLETE
    assert Group.objects.exists() is not atomic


def test_an_atomic_coroutine_that_revokes_itself_ends_revoked() -> None:
    @task(name="awaits its own revocation")
    async def gives_up(cqt: Any) -> None:
        await Group.objects.acreate(name="before")
        await cqt.arevoke("not needed")
        await cqt.alog("never")

    ended = run(gives_up.delay())
    assert (ended.status, ended.error) == (Status.REVOKED, "not needed")
    assert not Group.objects.exists()
    assert ended.format_logs() == ""


@pytest.mark.parametrize("atomic", [True, False])
def test_a_run_that_revokes_the_tree_that_it_is_in_ends_with_it(atomic: bool) -> None:
    @task(name=f"revokes its parent {atomic}", atomic=atomic)
    def child(cqt: Any) -> None:
        assert cqt.parent.revoke("enough")

    @task(name=f"is revoked by its child {atomic}")
    def parent(cqt: Any) -> None:
        cqt.subtask(child)

    top = run(parent.delay())
    below = run(top.subtasks.get())
    assert below.status == Status.REVOKED
    top = fresh(top)
    assert (top.status, top.error) == (Status.REVOKED, "enough")


def test_a_run_that_revokes_another_and_fails_has_revoked_nothing() -> None:
    other = sample_tasks.square.delay(3)

    @task(name="revokes another and fails")
    def fails(cqt: Any) -> None:
        assert other.revoke()
        cqt.check()
        raise ValueError("on purpose")

    assert run(fails.delay()).error == "on purpose"
    assert fresh(other).status == Status.QUEUED


def test_a_serial_run_that_revokes_itself_ends_revoked() -> None:
    @task(name="revokes itself serially")
    def gives_up(cqt: Any) -> None:
        Group.objects.create(name="before")
        cqt.revoke("not needed")

    with pytest.raises(TaskFailed, match="is REVOKED: not needed"):
        gives_up()
    assert not Group.objects.exists()


def test_row_23_a_run_taken_for_dead_undoes_itself_and_the_next_one_counts() -> None:
    def give_away(cqt: Any) -> None:
        from cq import lifecycle

        held = lifecycle.Claim(cqt.pk, cqt.fence, cqt.worker_id)
        elsewhere(lambda: lifecycle.rescue("default", held, 3, "thought dead"))

    @task(name="is rescued while it runs")
    def rescued(cqt: Any) -> int:
        runs.append("run")
        if len(runs) == 1:
            give_away(cqt)
        Group.objects.create(name=f"run {len(runs)}")
        return len(runs)

    first = claim(rescued.delay())
    sync_runner.execute(first)
    seen = fresh(first)
    assert (seen.status, seen.losses, seen.attempts) == (Status.QUEUED, 1, 1)
    assert not Group.objects.exists()
    second = run(seen)
    assert (second.status, second.result, second.attempts) == (Status.COMPLETE, 2, 2)
    assert [g.name for g in Group.objects.all()] == ["run 2"]


# --- a commit whose answer never came -------------------------------------------------


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], None]]:
    """What happens instead of the next COMMIT, once set."""
    real = connection.commit
    instead: dict[str, Callable[[], None]] = {}

    def commit() -> None:
        action = instead.pop("action", None)
        if action is None:
            real()
        else:
            action()
            raise OperationalError("the connection was lost")

    monkeypatch.setattr(connection, "commit", commit)
    instead["real"] = real
    return instead


def test_row_35_a_commit_that_was_done_but_not_answered_counts_once(
    cut: dict[str, Callable[[], None]],
) -> None:
    @task(name="loses the answer")
    def loses(cqt: Any) -> str:
        Group.objects.create(name="once")
        cqt.subtask(sample_tasks.square, 2)
        cut["action"] = cut["real"]
        return "returned"

    handle = run(loses.delay())
    assert (handle.status, handle.result) == (Status.WAITING, "returned")
    run_all()
    assert fresh(handle).status == Status.COMPLETE
    assert Group.objects.count() == 1
    assert fresh(handle).attempts == 1


def test_row_35_the_parent_settles_when_the_last_childs_answer_was_lost(
    cut: dict[str, Callable[[], None]],
) -> None:
    @task(name="loses the answer below")
    def loses(cqt: Any) -> None:
        cut["action"] = cut["real"]

    @task(name="has one that loses the answer")
    def parent(cqt: Any) -> None:
        cqt.subtask(loses)

    top = parent.delay()
    run_all()
    assert fresh(top).status == Status.COMPLETE


def test_row_35_a_commit_that_was_not_done_is_the_tasks_failure(
    cut: dict[str, Callable[[], None]],
) -> None:
    @task(name="loses the commit")
    def loses(cqt: Any) -> str:
        Group.objects.create(name="never")
        cut["action"] = connection.rollback
        return "returned"

    handle = run(loses.delay())
    assert (handle.status, handle.error) == (
        Status.FAILURE,
        "the connection was lost",
    )
    assert not Group.objects.exists()


def test_a_commit_that_was_not_done_is_retried_where_retries_are_left(
    cut: dict[str, Callable[[], None]],
) -> None:
    @task(name="loses the first commit", retries=1, backoff=0)
    def loses(cqt: Any) -> str:
        Group.objects.create(name=f"attempt {cqt.attempts}")
        if cqt.attempts == 1:
            cut["action"] = connection.rollback
        return "returned"

    handle = run(loses.delay())
    assert handle.status == Status.RETRY
    from cq.maintenance import sweep

    sweep.due("default")
    assert run(handle).status == Status.COMPLETE
    assert [g.name for g in Group.objects.all()] == ["attempt 2"]


# --- SQLite's one write lock ----------------------------------------------------------


def _write_from_outside(name: str, timeout: float = 0) -> None:
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=timeout)
    try:
        other.execute("INSERT INTO auth_group (name) VALUES (?)", [name])
        other.commit()
    finally:
        other.close()


@embedded
def test_a_snapshot_conflict_runs_the_task_once_more_with_the_lock() -> None:
    @task(name="reads, then writes")
    def conflicts(cqt: Any) -> int:
        runs.append("run")
        seen = Group.objects.count()
        if len(runs) == 1:
            _write_from_outside("site")
        else:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                _write_from_outside("locked out")
        Group.objects.create(name=f"task after {seen}")
        cqt.subtask(sample_tasks.square, 2)
        return seen

    handle = run(conflicts.delay())
    assert (handle.status, handle.result, handle.attempts) == (Status.WAITING, 1, 1)
    assert sorted(g.name for g in Group.objects.all()) == ["site", "task after 1"]
    assert runs == ["run", "run"]
    run_all()
    assert fresh(handle).status == Status.COMPLETE
    assert handle.subtasks.count() == 1


@embedded
def test_a_long_computation_does_not_hold_the_lock() -> None:
    @task(name="computes, then writes")
    def computes(cqt: Any) -> None:
        runs.append("run")
        _write_from_outside("site")
        Group.objects.create(name="task")

    assert run(computes.delay()).status == Status.COMPLETE
    assert runs == ["run"]
    assert Group.objects.count() == 2


@embedded
def test_a_conflict_with_the_completion_alone_is_run_again_too() -> None:
    @task(name="only reads")
    def reads(cqt: Any) -> int:
        runs.append("run")
        seen = Group.objects.count()
        if len(runs) == 1:
            _write_from_outside("site")
        return seen

    handle = run(reads.delay())
    assert (handle.status, handle.result) == (Status.COMPLETE, 1)
    assert runs == ["run", "run"]


@embedded
def test_a_task_that_may_not_run_twice_takes_the_lock_at_once() -> None:
    @task(name="at most once", on_lost="fail")
    def careful(cqt: Any) -> None:
        runs.append("run")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            _write_from_outside("locked out")

    assert run(careful.delay()).status == Status.COMPLETE
    assert runs == ["run"]


@embedded
def test_adopting_is_no_reading_before_writing(monkeypatch: Any) -> None:
    from cq.workflow import adoption

    @task(name="returns a handle, not atomic", atomic=False)
    def returns(cqt: Any) -> Any:
        return sample_tasks.square.delay(3)

    real = adoption._move

    def move(*args: Any) -> None:
        with contextlib.suppress(sqlite3.OperationalError):
            _write_from_outside("between")
        real(*args)

    monkeypatch.setattr(adoption, "_move", move)
    handle = returns.delay()
    run_all()
    assert (fresh(handle).status, fresh(handle).result) == (Status.COMPLETE, 9)


# --- the log --------------------------------------------------------------------------


def test_failures_are_logged_with_task_and_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "cq.runner"):
        handle = run(does.delay("raises"))
    (record,) = [r for r in caplog.records if r.name == "cq.runner"]
    assert "ValueError: on purpose" in record.getMessage()
    assert record.task_id == str(handle.pk)
    assert record.attempt == 1
    assert record.exc_info is not None


@pytest.mark.backend("sqlite")
@pytest.mark.django_db(transaction=True)
def test_a_write_while_somebody_else_writes_runs_the_task_once_more_with_the_lock(
    settings: Any,
) -> None:
    """SQLite waits for a lock only before a transaction has read; later it refuses."""
    settings.CQ_RUN_INLINE = False
    runs: list[str] = []
    name = connection.settings_dict["NAME"]
    other = sqlite3.connect(name, isolation_level=None)

    @task(name="reads, then writes beside a writer")
    def conflicts(cqt: Any) -> int:
        runs.append("run")
        seen = Group.objects.count()
        if len(runs) == 1:
            other.execute("BEGIN IMMEDIATE")
            other.execute("INSERT INTO auth_group (name) VALUES ('site')")
        try:
            Group.objects.create(name=f"task after {seen}")
        finally:
            if len(runs) == 1:
                other.execute("COMMIT")
        return seen

    handle = run(conflicts.delay())
    other.close()
    assert (handle.error, handle.status) == (None, Status.COMPLETE)
    assert (handle.result, handle.attempts, runs) == (1, 1, ["run", "run"])
    assert sorted(g.name for g in Group.objects.all()) == ["site", "task after 1"]


@embedded
@pytest.mark.parametrize("mode", [None, "IMMEDIATE", "EXCLUSIVE"])
@pytest.mark.parametrize("serial", [False, True])
def test_a_task_takes_the_lock_at_its_first_write_whatever_the_site_s_do(
    mode: str | None, serial: bool, monkeypatch: Any
) -> None:
    from django.db import connections

    @task(name="computes, then writes, beside a site")
    def computes(cqt: Any) -> None:
        _write_from_outside("site")
        Group.objects.create(name="task")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            _write_from_outside("locked out")

    connection.ensure_connection()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "transaction_mode", mode)
    monkeypatch.setattr(connections["default"], "transaction_mode", mode)
    if serial:
        computes()
    else:
        ended = run(computes.delay())
        assert (ended.status, ended.error) == (Status.COMPLETE, None)
    assert Group.objects.count() == 2
    assert connection.transaction_mode == mode


@embedded
def test_what_meets_a_conflict_runs_again_with_the_lock_in_that_mode_too(
    monkeypatch: Any,
) -> None:
    from django.db import connections

    connection.ensure_connection()
    options = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "transaction_mode", "IMMEDIATE")
    monkeypatch.setattr(connections["default"], "transaction_mode", "IMMEDIATE")
    test_a_snapshot_conflict_runs_the_task_once_more_with_the_lock()
