"""The batches of operations: what they change, how often, and what a death leaves."""

from __future__ import annotations

import itertools
from typing import Any

import driving
import pytest
import sample_tasks
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from forced import AFTER, after, forced, forced_many, row, status
from operating import done, lines, recorded

from cq import lifecycle
from cq.codec import Encoded
from cq.definitions import registry
from cq.definitions.schedulable import is_schedulable, schedulable_names
from cq.errors import LeaseLost
from cq.execution import sync_runner
from cq.models import Task
from cq.operations import batches
from cq.operations import cursor as cursors
from cq.operations.cursor import KEY, Cursor
from cq.operations.operation import Operation
from cq.status import Status
from cq.testing import run_tasks
from cq.workflow import manual_retry

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three."""
    monkeypatch.setattr(batches, "PIECE", 3)
    monkeypatch.setattr("cq.operations.run.PIECE", 3)


def statuses(tasks: list[Task]) -> list[str]:
    return [status(task) for task in tasks]


# --- verbs ----------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_what_matches_runs_again_and_nothing_else() -> None:
    failed = forced_many(7, Status.FAILURE, attempts=1, error="no")
    lost = forced(Status.LOST, attempts=1)

    task = done("retry", {"status": ["FAILURE"]}, total=7)

    assert (task.status, task.result) == (
        Status.COMPLETE,
        {"changed": 7, "refused": 0, "left": 0},
    )
    assert set(statuses(failed)) == {Status.QUEUED}
    assert status(lost) == Status.LOST
    assert task.progress == (7, 7, "7 changed")
    assert lines(task) == [
        'retry of 7 tasks: {"status": ["FAILURE"]}',
        "7 changed",
    ]


@pytest.mark.usefixtures("small")
def test_what_is_open_is_revoked_with_what_is_below() -> None:
    queued = forced_many(4, Status.QUEUED)
    parent = forced(Status.WAITING, attempts=1)
    below = forced_many(5, Status.QUEUED, parent)
    deeper = forced(Status.QUEUED, below[0])
    over = forced(Status.COMPLETE)

    task = done("revoke", {"level": "top"}, by="kim", reason="Not today.")

    changed = [*queued, parent, *below, deeper]
    assert set(statuses(changed)) == {Status.REVOKED}
    assert status(over) == Status.COMPLETE
    assert task.result == {"changed": 5, "refused": 0, "left": 0, "below": 6}
    for one in (queued[0], deeper):
        said = f"It was revoked by kim in operation {task.pk}. Not today."
        assert row(one)["error"] == said


def test_a_revoked_predecessor_takes_its_dependants_along() -> None:
    upstream = forced(Status.QUEUED)
    dependant = forced(Status.PENDING, open_edges=1)
    after(dependant, upstream)
    done("revoke", {"ids": [upstream.pk.hex]})
    assert status(dependant) == Status.INCOMPLETE


def test_what_waits_for_its_time_is_queued_now() -> None:
    later = forced(Status.PENDING, run_after=AFTER)
    again = forced(Status.RETRY, attempts=1)
    blocked = forced(Status.PENDING, run_after=AFTER, open_edges=0)
    after(blocked, forced(Status.RUNNING))

    task = done("now")

    assert statuses([later, again]) == [Status.QUEUED] * 2
    # The counter was a hint; the statement has looked at the edges.
    assert status(blocked) == Status.PENDING
    assert task.result == {"changed": 2, "refused": 0, "left": 1}


def test_what_has_not_begun_gets_another_priority_or_queue() -> None:
    waiting = [forced(s) for s in (Status.QUEUED, Status.PENDING, Status.RETRY)]
    running = forced(Status.RUNNING)

    done("priority", {"queue": ["default"]}, value=7)
    assert [row(t)["priority"] for t in [*waiting, running]] == [7, 7, 7, 0]

    done("queue", {"queue": ["default"]}, value="elsewhere")
    queues = [row(t)["queue"] for t in [*waiting, running]]
    assert queues == ["elsewhere"] * 3 + ["default"]


def test_workers_are_told_of_what_was_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[Any] = []
    monkeypatch.setattr(
        "cq.operations.verbs.doorbell.ring", lambda using, ready: rung.extend(ready)
    )
    queued = forced(Status.QUEUED)
    forced(Status.PENDING)
    done("queue", value="elsewhere")
    assert [(pk, queue) for pk, queue in rung if queue == "elsewhere"] == [
        (queued.pk, "elsewhere")
    ]


def test_tasks_that_are_spread_wait_for_their_time() -> None:
    failed = forced_many(4, Status.FAILURE, attempts=1)
    keyed = forced(Status.FAILURE, attempts=1, options={"unique": "k"})

    done("retry", {"status": ["FAILURE"]}, total=5, spread=10)

    rows = [row(task) for task in [*failed, keyed]]
    # The first of all waits for nothing but the clock's next look.
    assert [r["status"] for r in rows] == [Status.PENDING] * 5
    moments = [r["run_after"] for r in rows]
    gaps = [round((b - a).total_seconds()) for a, b in itertools.pairwise(moments)]
    assert gaps == [120] * 4


# --- what is left ---------------------------------------------------------------------


def test_row_s22_what_was_recorded_later_is_left_alone() -> None:
    forced_many(2, Status.FAILURE, attempts=1)
    handle = recorded("retry", {"status": ["FAILURE"]})
    later = forced(Status.FAILURE, attempts=1)
    driving.run(handle)  # type: ignore[arg-type]
    assert status(later) == Status.FAILURE


@pytest.mark.parametrize(
    ("verb", "options"), [("retry_many", None), ("retry", {"unique": "k"})]
)
def test_what_has_succeeded_meanwhile_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, verb: str, options: Any
) -> None:
    failed = forced(Status.FAILURE, attempts=1, options=options)
    own = getattr(lifecycle, verb)

    def after_somebody_else(*args: Any, **kwargs: Any) -> Any:
        Task.objects.filter(pk=failed.pk).update(status=Status.COMPLETE)
        return own(*args, **kwargs)

    monkeypatch.setattr(lifecycle, verb, after_somebody_else)
    task = done("retry", {"status": ["FAILURE"]})
    # Where one is retried by itself, what somebody did here is undone with its refusal.
    assert status(failed) in (Status.COMPLETE, Status.FAILURE)
    assert task.result["changed"] == 0


def test_what_has_begun_meanwhile_is_not_revoked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queued = forced(Status.QUEUED)
    own = lifecycle.revoke

    def after_a_worker(*args: Any) -> Any:
        driving.claim(queued)
        return own(*args)

    handle = recorded("revoke", {"status": ["QUEUED"]})
    monkeypatch.setattr(lifecycle, "revoke", after_a_worker)
    driving.run(handle)  # type: ignore[arg-type]
    assert status(queued) == Status.RUNNING


def test_operations_leave_each_other_alone() -> None:
    other = recorded("retry")
    done("revoke")
    assert status(other) == Status.QUEUED  # type: ignore[arg-type]


def test_what_is_refused_is_named_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "MOST_NAMED", 2)
    monkeypatch.setattr("cq.operations.run.MOST_NAMED", 2)
    forced(Status.QUEUED, unique_key="k")
    forced_many(4, Status.FAILURE, attempts=1, options={"unique": "k"})
    fine = forced(Status.FAILURE, attempts=1)

    task = done("retry", {"status": ["FAILURE"]})

    assert task.status == Status.COMPLETE
    assert task.result == {"changed": 1, "refused": 4, "left": 0}
    assert status(fine) == Status.QUEUED
    named = lines(task)[1:]
    assert [line[:8] for line in named[:2]] == ["refused:"] * 2
    assert "belongs to another live task" in named[0]
    assert named[2:] == [
        "1 changed, 4 refused",
        "the first 2 that were refused are named",
    ]


# --- statements -----------------------------------------------------------------------


def test_a_batch_takes_as_many_statements_whatever_is_in_it() -> None:
    def statements(verb: str, count: int, status: Status) -> int:
        Task.objects.all().delete()
        forced_many(count, status, attempts=1)
        handle = recorded(verb, {"status": [status.value]})
        claimed = driving.claim(handle)  # type: ignore[arg-type]
        with CaptureQueriesContext(connection) as seen:
            sync_runner.execute(claimed)
        return len(seen)

    for verb, before in (("retry", Status.FAILURE), ("revoke", Status.QUEUED)):
        few, batch, more = (statements(verb, n, before) for n in (2, 499, 2_499))
        assert few == batch
        # 5,000 are ten batches, in 200 statements.
        assert (more - few) / 4 <= 18


def test_what_goes_one_by_one_is_a_batch_of_fifty() -> None:
    forced_many(120, Status.FAILURE, attempts=1, options={"unique": None, "x": 1})
    for number, task in enumerate(Task.objects.order_by("pk")):
        Task.objects.filter(pk=task.pk).update(options={"unique": f"k{number}"})
    handle = recorded("retry", {"status": ["FAILURE"]})
    claimed = driving.claim(handle)  # type: ignore[arg-type]
    mine = batches.Batches(
        "default",
        lifecycle.Claim(claimed.pk, claimed.fence, driving.WORKER),
        _of(claimed),
        1,
    )
    assert [mine.next().looked for _ in range(3)] == [50, 100, 120]


def _of(task: Any) -> Any:
    return Operation.of(task.kwargs)


# --- deaths ---------------------------------------------------------------------------


def killed_behind(number: int) -> bool:
    """Run all, with a death behind that statement; whether there was one."""
    try:
        run_tasks(crash_at=("cq.operation", number))
    except AssertionError as error:
        if "is behind its return" not in str(error):
            raise
        return False
    # The thread that writes the log of the dead may have held its row for a moment.
    while Task.objects.filter(status=Status.QUEUED).exists():
        run_tasks()
    return True


@pytest.mark.usefixtures("small")
def test_row_s22_killed_behind_any_statement_each_task_runs_once_more() -> None:
    for number in itertools.count(1):
        Task.objects.all().delete()
        failed = forced_many(4, Status.FAILURE, attempts=1)
        keyed = forced(Status.FAILURE, attempts=1, options={"unique": f"k{number}"})
        before = forced(Status.FAILURE, attempts=1)
        dependant = forced(Status.INCOMPLETE, error="blocked")
        after(dependant, before, met=False)
        handle = recorded("retry", {"status": ["FAILURE"]}, total=6)
        if not killed_behind(number):
            break
        ended = [row(task) for task in [*failed, keyed, before]]
        assert [r["status"] for r in ended] == [Status.COMPLETE] * 6
        # One by the retry and one by the claim.
        assert [(r["attempts"], r["fence"]) for r in ended] == [(2, 2)] * 6
        assert status(dependant) == Status.COMPLETE
        finished = Task.objects.get(pk=handle.pk)
        assert finished.result == {"changed": 6, "refused": 0, "left": 0}
    assert number > 30


@pytest.mark.usefixtures("small")
def test_killed_behind_any_statement_all_is_revoked() -> None:
    for number in itertools.count(1):
        Task.objects.all().delete()
        queued = forced_many(4, Status.QUEUED, queue="q")
        parent = forced(Status.WAITING, attempts=1, queue="q")
        below = forced_many(4, Status.QUEUED, parent)
        handle = recorded("revoke", {"queue": ["q"]})
        if not killed_behind(number):
            break
        assert set(statuses([*queued, parent, *below])) == {Status.REVOKED}
        result = Task.objects.get(pk=handle.pk).result
        assert result == {"changed": 5, "refused": 0, "left": 0, "below": 4}
    assert number > 20


def test_a_batch_that_another_run_has_taken_over_is_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = forced_many(3, Status.FAILURE, attempts=1)
    handle = recorded("retry", {"status": ["FAILURE"]})
    claimed = driving.claim(handle)  # type: ignore[arg-type]
    mine = batches.Batches(
        "default",
        lifecycle.Claim(claimed.pk, claimed.fence, driving.WORKER),
        _of(claimed),
        1,
    )
    own = cursors.write

    def after_a_rescue(*args: Any) -> None:
        Task.objects.filter(pk=claimed.pk).update(fence=9)
        own(*args)

    monkeypatch.setattr(cursors, "write", after_a_rescue)
    with pytest.raises(LeaseLost, match="its batch is undone"):
        mine.next()
    assert set(statuses(failed)) == {Status.FAILURE}


def test_a_batch_whose_commit_was_not_heard_of_is_not_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = forced_many(3, Status.FAILURE, attempts=1)
    handle = recorded("retry", {"status": ["FAILURE"]}, total=3)
    said: list[str] = []
    go_on = manual_retry.go_on

    def once(*args: Any) -> None:
        # Behind the commit, as who does not get the answer to it.
        if not said:
            said.append("lost")
            raise OperationalError("the answer was lost")
        go_on(*args)

    monkeypatch.setattr(manual_retry, "go_on", once)
    monkeypatch.setattr("cq.db.conflicts.is_conflict", lambda error: True)
    task = driving.run(handle)  # type: ignore[arg-type]
    assert (task.status, said) == (Status.COMPLETE, ["lost"])
    assert [row(t)["fence"] for t in failed] == [1, 1, 1]


@pytest.mark.usefixtures("small")
def test_revoke_stops_it_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = forced_many(8, Status.FAILURE, attempts=1)
    handle = recorded("retry", {"status": ["FAILURE"]})
    own = batches.Batches.next

    def then_somebody_revokes(self: Any, limit: int) -> Cursor:
        found = own(self, limit)
        Task.objects.get(pk=handle.pk).revoke("Enough.")
        return found

    monkeypatch.setattr(batches.Batches, "next", then_somebody_revokes)
    task = driving.run(handle)  # type: ignore[arg-type]

    assert (task.status, task.error) == (Status.REVOKED, "Enough.")
    again = [status(t) == Status.QUEUED for t in failed]
    assert again == [True] * 3 + [False] * 5
    assert Cursor.of(task.options).changed == 3

    # By its own Retry it goes on where it was.
    monkeypatch.setattr(batches.Batches, "next", own)
    task.retry()
    assert driving.run(task).result == {"changed": 8, "refused": 0, "left": 0}
    assert {row(t)["fence"] for t in failed} == {1}


@pytest.mark.usefixtures("small")
def test_a_worker_that_stops_leaves_the_rest_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = forced_many(7, Status.FAILURE, attempts=1)
    handle = recorded("retry", {"status": ["FAILURE"]})
    with monkeypatch.context() as stopping:
        stopping.setattr("cq.runs.stopping.is_stopping", lambda worker: True)
        task = driving.run(handle)  # type: ignore[arg-type]
    assert (task.status, task.attempts) == (Status.QUEUED, 0)
    assert statuses(failed).count(Status.QUEUED) == 3

    task = driving.run(handle)  # type: ignore[arg-type]
    assert task.result == {"changed": 7, "refused": 0, "left": 0}


def test_what_is_done_is_not_done_again_by_a_retry_of_the_operation() -> None:
    failed = forced(Status.FAILURE, attempts=1)
    task = done("retry", {"status": ["FAILURE"]})
    Task.objects.filter(pk=failed.pk).update(
        status=Status.FAILURE, finished="2030-01-01T00:00Z"
    )
    task.retry()
    assert driving.run(task).result == {"changed": 1, "refused": 0, "left": 0}
    assert status(failed) == Status.FAILURE


# --- rows that somebody has written -----------------------------------------------------


@pytest.mark.parametrize(
    "kept",
    [
        "x",
        [1],
        {"after": "x", "looked": 1},
        {
            "after": None,
            "below": [],
            "looked": -1,
            "changed": 0,
            "refused": 0,
            "also": 0,
            "done": False,
        },
        {
            "after": None,
            "below": ["x"],
            "looked": 1,
            "changed": 0,
            "refused": 0,
            "also": 0,
            "done": False,
        },
        {
            "after": None,
            "below": [],
            "looked": 1,
            "changed": 0,
            "refused": 0,
            "also": 0,
            "done": "no",
        },
    ],
)
def test_a_forged_cursor_is_a_failure_and_changes_nothing(kept: Any) -> None:
    failed = forced(Status.FAILURE, attempts=1)
    handle = recorded("retry", {"status": ["FAILURE"]})
    Task.objects.filter(pk=handle.pk).update(options={KEY: kept})
    task = driving.run(handle)  # type: ignore[arg-type]
    assert task.status == Status.FAILURE
    assert "which is of no release" in task.error
    assert status(failed) == Status.FAILURE


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ("[]", "{}"),
        ("[1]", "{}"),
        ("[]", '{"verb":"retry"}'),
        ("[]", '{"verb":"retry","filter":{"root":5},"newest":null}'),
        ("[]", '{"verb":{"$":"set","v":[1]},"filter":{},"newest":null}'),
        ("[]", '{"verb":"retry","filter":{"status":["FAILURE"]},"newest":"x"}'),
        ("{", "}"),
    ],
)
def test_forged_arguments_are_a_failure_and_change_nothing(
    args: str, kwargs: str
) -> None:
    failed = forced(Status.FAILURE, attempts=1)
    forged = forced(
        Status.QUEUED, name="cq.operation", args=Encoded(args), kwargs=Encoded(kwargs)
    )
    task = driving.run(forged)
    assert task.status in (Status.FAILURE, Status.RETRY)
    assert status(failed) == Status.FAILURE


def test_it_is_hidden_from_those_who_choose_tasks() -> None:
    assert "cq.operation" not in registry.names()
    assert "cq.operation" in registry.names(builtin=True)
    assert "cq.operation" not in schedulable_names()
    assert not is_schedulable("cq.operation")
    assert sample_tasks.square
