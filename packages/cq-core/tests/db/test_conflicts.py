"""Deadlocks and serialization failures: work that the server took back, done again."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from django.db import connection, transaction
from driving import claim, fresh, run
from racing import race

from cq import chain, task
from cq.db import conflicts
from cq.execution import sync_runner
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("postgres", "valkey", "mariadb"),
]

#: As each of them says it: SQL's states, and MariaDB's numbers.
STATES = (
    ["1213", "1205", "1467"] if connection.vendor == "mysql" else ["40001", "40P01"]
)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@contextmanager
def refused(event: str, times: int, state: str, when: str = "true") -> Iterator[None]:
    """Let the server roll back `times` transactions that do something.

    The count is a sequence's: what is rolled back counts too.
    """
    mysql = connection.vendor == "mysql"
    make, take_back = _ON_MARIADB if mysql else _ON_POSTGRESQL
    values = {"event": event, "times": times, "state": state, "when": when}
    with connection.cursor() as cursor:
        for statement in make:
            cursor.execute(statement.format(**values))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for statement in take_back:
                cursor.execute(statement)


_ON_POSTGRESQL = (
    [
        "CREATE SEQUENCE refusals",
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ "
        "BEGIN IF nextval('refusals') <= {times} THEN "
        "RAISE 'others were in the way' USING ERRCODE = '{state}'; "
        "END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER refuse BEFORE {event} FOR EACH ROW WHEN ({when}) "
        "EXECUTE FUNCTION refuse()",
    ],
    ["DROP FUNCTION refuse() CASCADE", "DROP SEQUENCE refusals"],
)
_ON_MARIADB = (
    [
        "CREATE SEQUENCE refusals",
        "CREATE TRIGGER refuse BEFORE {event} FOR EACH ROW IF {when} THEN "
        "IF nextval(refusals) <= {times} THEN SIGNAL SQLSTATE '40001' SET "
        "MYSQL_ERRNO = {state}, MESSAGE_TEXT = 'others were in the way'; "
        "END IF; END IF",
    ],
    ["DROP TRIGGER refuse", "DROP SEQUENCE refusals"],
)


def settling(times: int, state: str = STATES[0]) -> Any:
    return refused("UPDATE ON cq_tasks", times, state, "NEW.finished IS NOT NULL")


@task(atomic=False)
def beside(cqt: Any) -> str:
    Group.objects.create(name=f"run {Group.objects.count()}")
    return "returned"


@task(atomic=False)
def breaks(cqt: Any) -> None:
    raise ValueError("its own")


@task
def writes(cqt: Any, name: str) -> str:
    cqt.log(f"writes {name}")
    Group.objects.create(name=name)
    return name


# --- in our statements ----------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_row_36_a_completion_is_written_again_and_the_function_not_called(
    state: str,
) -> None:
    with settling(conflicts.MAX_TRIES, state):
        handle = run(beside.delay())

    assert (handle.status, handle.result) == (Status.COMPLETE, "returned")
    assert (handle.attempts, handle.failures) == (1, 0)
    assert Group.objects.count() == 1


@pytest.mark.parametrize("state", STATES)
def test_row_36_a_failure_is_written_again_and_is_the_tasks_own(state: str) -> None:
    with settling(conflicts.MAX_TRIES, state):
        handle = run(breaks.delay())

    assert (handle.status, handle.error) == (Status.FAILURE, "its own")


def test_row_36_a_parent_is_told_again() -> None:
    parent = run(sample_tasks.send_emails.delay(["a"]))
    child = claim(parent.subtasks.get())

    with refused(
        "UPDATE ON cq_tasks", conflicts.MAX_TRIES, STATES[1], "OLD.status = 'WAITING'"
    ):
        sync_runner.execute(child)

    assert fresh(parent).status == Status.COMPLETE


def test_row_36_what_a_failure_has_ended_goes_on_though_the_parent_is_told_again() -> (
    None
):
    link = chain(breaks.s(), sample_tasks.square.s(), sample_tasks.square.s()).delay()

    with refused(
        "UPDATE ON cq_tasks", conflicts.MAX_TRIES, STATES[0], "OLD.status = 'WAITING'"
    ):
        run(Task.objects.get(status=Status.QUEUED))

    assert Counter(Task.objects.values_list("status", flat=True)) == {
        Status.FAILURE: 1,
        Status.INCOMPLETE: 3,
    }
    assert fresh(link).status == Status.INCOMPLETE


@pytest.mark.parametrize("state", STATES)
def test_row_36_a_workflow_is_recorded_again(state: str) -> None:
    with refused("INSERT ON cq_tasks", conflicts.MAX_TRIES, state):
        chain(sample_tasks.square.s(2), sample_tasks.square.s()).delay()

    assert sorted(Task.objects.values_list("status", flat=True)) == [
        "PENDING",
        "QUEUED",
        "WAITING",
    ]


@pytest.mark.parametrize("state", STATES)
def test_row_36_a_tree_is_revoked_again(state: str) -> None:
    parent = run(sample_tasks.send_emails.delay(["a", "b"]))

    with settling(conflicts.MAX_TRIES, state):
        assert parent.revoke()

    found = Task.objects.values_list("status", "fence")
    assert set(found) == {(Status.REVOKED, 2), (Status.REVOKED, 1)}


def test_row_36_it_is_done_again_five_times_at_most_with_jitter() -> None:
    with settling(conflicts.MAX_TRIES + 1):
        handle = run(beside.delay())

    assert handle.status == Status.FAILURE
    assert "others were in the way" in handle.error
    delays = [list(conflicts.pauses()) for _ in range(100)]
    assert {len(pauses) for pauses in delays} == {5}
    assert len({pauses[0] for pauses in delays}) > 90
    assert all(0.01 <= pause <= 0.32 for pauses in delays for pause in pauses)


# --- in the task's own ----------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_row_37_an_atomic_task_runs_again_within_its_attempt(state: str) -> None:
    with refused("INSERT ON auth_group", conflicts.MAX_TRIES, state):
        handle = run(writes.delay("once"))

    assert (handle.status, handle.result) == (Status.COMPLETE, "once")
    assert (handle.attempts, handle.failures, handle.losses) == (1, 0, 0)
    assert [group.name for group in Group.objects.all()] == ["once"]
    # What each of the runs said stays.
    assert handle.format_logs().split("\n") == ["writes once"] * 6


def test_row_37_when_it_never_ends_it_is_the_tasks_failure() -> None:
    with refused("INSERT ON auth_group", conflicts.MAX_TRIES + 1, STATES[0]):
        handle = run(writes.delay("never"))

    assert (handle.status, handle.failures) == (Status.FAILURE, 1)
    assert "others were in the way" in handle.error
    assert not Group.objects.exists()


def test_row_37_what_may_not_run_twice_does_not() -> None:
    with refused("INSERT ON auth_group", 1, STATES[0]):
        handle = run(writes.using(on_lost="fail").delay("never"))

    assert handle.status == Status.FAILURE


def test_row_37_two_tasks_that_lock_crosswise_both_complete() -> None:
    rows = {name: Group.objects.create(name=name) for name in ("a", "b")}
    met, seen = threading.Barrier(2), set()

    @task(name="locks crosswise")
    def locks(cqt: Any, first: str, second: str) -> None:
        _lock(rows[first].pk)
        if first not in seen:  # its first run
            seen.add(first)
            met.wait(60)
        _lock(rows[second].pk)

    one, other = claim(locks.delay("a", "b")), claim(locks.delay("b", "a"))

    race(
        [None], lambda _: sync_runner.execute(one), lambda _: sync_runner.execute(other)
    )

    assert {fresh(t).status for t in (one, other)} == {Status.COMPLETE}
    assert {fresh(t).attempts for t in (one, other)} == {1}


def _lock(pk: int) -> None:
    Group.objects.select_for_update().get(pk=pk)


def test_row_37_in_somebodys_transaction_it_is_run_once() -> None:
    handle = writes.delay("never")
    with refused("INSERT ON auth_group", 1, STATES[0]), transaction.atomic():
        handle = run(handle)

    assert handle.status == Status.FAILURE
