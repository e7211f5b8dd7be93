"""What the verbs change besides the status, and who wins when several try."""

from __future__ import annotations

import ast
import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from forced import (
    AFTER,
    BEFORE,
    NOW,
    WORKER,
    forced,
    forced_many,
    held,
    register,
    row,
    status,
)
from racing import beside, race, somebody_waits_for_a_lock, until

import cq
from cq import lifecycle
from cq.db.statements import uuid_param
from cq.lifecycle import Failure
from cq.maintenance import rescue
from cq.models import Task
from cq.status import FINAL, Status
from cq.workflow import advance

DB = "default"
WHY = Failure.of("no", "ValueError", "Traceback")
EVERYTHING = "queue = %s"


def claim(limit: int = 1, worker: int = WORKER) -> list[Task]:
    return lifecycle.claim(DB, worker, EVERYTHING, ["default"], limit, NOW)


# --- three numbers --------------------------------------------------------------------


@pytest.mark.django_db
def test_each_number_counts_its_own_thing_and_the_fence_only_rises() -> None:
    task = forced(Status.QUEUED)

    def numbers() -> tuple[int, ...]:
        found = row(task)
        names = ("fence", "attempts", "failures", "losses")
        return tuple(found[name] for name in names)

    # fence, attempts, failures, losses
    (run,) = claim()
    assert numbers() == (1, 1, 0, 0)
    # Handed back: it had not been tried.
    lifecycle.hand_back(DB, [held(run)])
    assert numbers() == (2, 0, 0, 0)
    (run,) = claim()
    assert numbers() == (3, 1, 0, 0)
    lifecycle.postpone(DB, held(run), WHY, 0, BEFORE)
    assert numbers() == (3, 1, 1, 0)
    lifecycle.queue_due(DB, 1, NOW)
    (run,) = claim()
    assert numbers() == (4, 2, 1, 0)
    lifecycle.rescue(DB, held(run), 3, "gone", NOW)
    assert numbers() == (5, 2, 1, 1)
    (run,) = claim()
    assert numbers() == (6, 3, 1, 1)
    lifecycle.fail(DB, held(run), WHY, now=NOW)
    assert numbers() == (6, 3, 2, 1)
    # By hand: what limits retries and losses begins anew, what people see does not.
    lifecycle.retry(DB, task.pk, counted=True, unique_key=None)
    assert numbers() == (7, 3, 0, 0)
    lifecycle.revoke(DB, [task.pk], "why", NOW)
    assert numbers() == (8, 3, 0, 0)


@pytest.mark.django_db
def test_a_handle_has_all_that_a_claim_returns() -> None:
    made = forced(Status.QUEUED, priority=3, options={"timeout": 5})

    (run,) = claim()

    assert (run.pk, run.status, run.worker_id) == (made.pk, Status.RUNNING, WORKER)
    assert (run.started, run.priority) == (NOW, 3)
    assert (run.args, run.options) == ((3,), {"timeout": 5})


@pytest.mark.django_db
def test_a_claimed_task_is_what_the_orm_would_have_made_of_its_row() -> None:
    """A claim makes its tasks without `Model.__init__`."""
    parent = forced(Status.WAITING)
    forced(
        Status.QUEUED,
        parent,
        options={"timeout": 5},
        expires=AFTER,
        result_ttl=1.5,
        unique_key="its",
        outcome=Status.INCOMPLETE,
        progress_message="half",
    )

    (run,) = claim()

    read = Task.objects.get(pk=run.pk)
    mine, theirs = dict(vars(run)), dict(vars(read))
    state, of_orm = mine.pop("_state"), theirs.pop("_state")
    assert {k: (type(v), v) for k, v in mine.items()} == {
        k: (type(v), v) for k, v in theirs.items()
    }
    assert (state.adding, state.db) == (of_orm.adding, of_orm.db)
    assert run.parent == parent
    assert run == read


@pytest.mark.django_db
def test_a_new_run_starts_without_the_error_of_the_one_before() -> None:
    task = forced(Status.QUEUED)
    (run,) = claim()
    lifecycle.postpone(DB, held(run), WHY, 0, BEFORE)
    assert (row(task)["error"], row(task)["exception"]) == ("no", "ValueError")
    lifecycle.queue_due(DB, 1, NOW)

    (run,) = claim()
    lifecycle.complete(DB, held(run), "1", now=NOW)

    after = row(task)
    assert after["status"] == Status.COMPLETE
    assert (after["error"], after["exception"], after["traceback"]) == (None,) * 3


@pytest.mark.django_db
def test_a_claim_keeps_why_a_subtask_added_from_outside_has_failed() -> None:
    task = forced(Status.QUEUED, open_children=1)
    child = forced(Status.RUNNING, task)
    lifecycle.fail(DB, held(child), WHY, now=NOW)
    advance.after_settled(DB, [child.pk], NOW)

    (run,) = claim()
    lifecycle.complete(DB, held(run), "1", now=NOW)

    assert status(task) == Status.INCOMPLETE
    assert f"{child.pk} is FAILURE: no" in row(task)["error"]


# --- completing -----------------------------------------------------------------------


@pytest.mark.django_db
def test_completing_with_subtasks_waits_and_keeps_result_and_key() -> None:
    task = forced(Status.RUNNING, unique_key="k")

    assert lifecycle.complete(DB, held(task), "7", children=2) == Status.WAITING

    found = row(task)
    assert (found["result"], found["open_children"]) == ("7", 2)
    assert (found["unique_key"], found["finished"]) == ("k", None)


@pytest.mark.django_db
def test_completing_counts_those_that_settled_while_it_ran() -> None:
    task = forced(Status.RUNNING)
    children = forced_many(2, Status.COMPLETE, task)
    advance.after_settled(DB, [c.pk for c in children])
    assert row(task)["open_children"] == -2

    lifecycle.complete(DB, held(task), "7", children=2)
    advance.recheck_parent(DB, task.pk)

    assert status(task) == Status.COMPLETE


@pytest.mark.django_db
def test_completing_many_leaves_out_what_is_not_its_to_settle() -> None:
    good = forced_many(3, Status.RUNNING)
    none_result = forced(Status.RUNNING)
    failed_child = forced(Status.RUNNING, outcome=Status.INCOMPLETE)
    stale = forced(Status.RUNNING, fence=4)
    open_child = forced(Status.RUNNING)
    forced(Status.QUEUED, open_child)
    told_of_a_child = forced(Status.RUNNING, open_children=1)
    gone = forced(Status.REVOKED)

    won = lifecycle.complete_many(
        DB,
        [
            *((held(t), '"ok"') for t in good),
            (held(none_result), None),
            (held(failed_child), "1"),
            (held(stale)._replace(fence=3), "1"),
            (held(open_child), "1"),
            (held(told_of_a_child), "1"),
            (held(gone), "1"),
        ],
        NOW,
    )

    assert won == {*(t.pk for t in good), none_result.pk, failed_child.pk}
    assert {(row(t)["status"], row(t)["result"]) for t in good} == {
        (Status.COMPLETE, '"ok"')
    }
    assert row(none_result)["result"] is None
    assert status(failed_child) == Status.INCOMPLETE
    assert {status(t) for t in (stale, open_child, told_of_a_child)} == {Status.RUNNING}
    assert status(gone) == Status.REVOKED
    assert lifecycle.complete(DB, held(open_child), "1") == Status.WAITING
    # The counter was wrong, so it only waits for a moment.
    assert lifecycle.complete(DB, held(told_of_a_child), "1") == Status.WAITING
    advance.recheck_parent(DB, told_of_a_child.pk)
    assert status(told_of_a_child) == Status.COMPLETE


@pytest.mark.django_db
def test_completing_many_of_none_changes_nothing() -> None:
    assert lifecycle.complete_many(DB, []) == set()


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.parametrize("source", [Status.RUNNING, Status.WAITING])
@pytest.mark.django_db(transaction=True)
def test_row_70_a_subtask_added_while_its_parent_settles_keeps_it_open(
    source: Status,
) -> None:
    parent = forced(source)

    def settle() -> Any:
        if source == Status.WAITING:
            return lifecycle.settle(DB, parent.pk)
        won = lifecycle.complete_many(DB, [(held(parent), "1")])
        return won or lifecycle.complete(DB, held(parent), "1")

    with transaction.atomic():
        child = forced(Status.QUEUED, parent)
        assert lifecycle.add_children(DB, parent.pk, 1)
        # Its statement began before our commit, and does not see the subtask.
        ending = beside(settle)
        until(somebody_waits_for_a_lock, "the parent's row is waited for")

    assert ending.result(10) in (None, Status.WAITING)
    assert (status(parent), status(child)) == (Status.WAITING, Status.QUEUED)


# --- claiming -------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_oldest_are_claimed_first_and_no_more_than_asked_for() -> None:
    made = forced_many(5, Status.QUEUED)

    assert [t.pk for t in claim(3)] == [t.pk for t in made[:3]]
    assert claim(0) == []
    assert [t.pk for t in claim(3)] == [t.pk for t in made[3:]]
    assert claim(3) == []


@pytest.mark.django_db
def test_what_has_expired_is_not_claimed_also_before_a_sweep() -> None:
    forced(Status.QUEUED, expires=BEFORE)
    forced(Status.QUEUED, expires=NOW)
    good = forced(Status.QUEUED, expires=AFTER)

    assert [t.pk for t in claim(9)] == [good.pk]


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_claims_of_two_connections_never_overlap() -> None:
    made = forced_many(600, Status.QUEUED)

    def claim_for(worker: int) -> Any:
        return lambda _: [t.pk for t in claim(7, worker)]

    by_worker = race(range(60), claim_for(1), claim_for(2))

    claimed = [pk for found in by_worker for batch in found for pk in batch]
    assert len(claimed) == len(set(claimed)) == 600
    assert set(claimed) == {t.pk for t in made}


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_a_claim_passes_over_what_another_has_locked() -> None:
    first, second = forced_many(2, Status.QUEUED)

    with transaction.atomic():
        assert [t.pk for t in claim(1)] == [first.pk]
        assert beside(lambda: [t.pk for t in claim(2, 2)]).result(10) == [second.pk]


@pytest.mark.django_db(transaction=True)
def test_of_two_that_claim_one_task_one_gets_it() -> None:
    made = forced_many(50, Status.QUEUED)

    def claim_this(task: Task) -> int:
        pk = [uuid_param(connection, task.pk)]
        return len(lifecycle.claim(DB, WORKER, "id = %s", pk, 1, NOW))

    one, other = race(made, claim_this, claim_this)

    assert [a + b for a, b in zip(one, other, strict=True)] == [1] * 50
    assert set(Task.objects.values_list("attempts", "fence")) == {(1, 1)}


# --- the clock ------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_was_put_off_meanwhile_is_not_queued_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = forced(Status.RETRY, run_after=BEFORE)
    real = lifecycle.queueing.update_returning

    def late(queryset: Any, *args: Any, **values: Any) -> Any:
        # Between the look and the change another has run it, and it has failed again.
        Task.objects.filter(pk=task.pk).update(run_after=AFTER)
        return real(queryset, *args, **values)

    monkeypatch.setattr(lifecycle.queueing, "update_returning", late)

    assert lifecycle.queue_due(DB, 10, NOW) == []
    assert status(task) == Status.RETRY


@pytest.mark.django_db
def test_a_retry_waits_by_the_given_seconds() -> None:
    task = forced(Status.RUNNING)

    lifecycle.postpone(DB, held(task), WHY, 90, NOW)

    assert row(task)["run_after"] == NOW + timedelta(seconds=90)
    assert lifecycle.queue_due(DB, 1, NOW + timedelta(seconds=89)) == []
    assert lifecycle.queue_due(DB, 1, NOW + timedelta(seconds=91)) == [
        (task.pk, "default")
    ]


@pytest.mark.django_db
def test_a_run_handed_back_half_way_takes_its_subtasks_with_it() -> None:
    task = forced(Status.RUNNING, open_children=2)
    done, still_open = forced(Status.COMPLETE, task), forced(Status.QUEUED, task)

    assert rescue.hand_back(DB, held(task)) == [(task.pk, "default")]

    assert (status(task), row(task)["attempts"]) == (Status.QUEUED, 0)
    assert row(task)["open_children"] == 0
    assert (status(done), status(still_open)) == (Status.COMPLETE, Status.REVOKED)
    assert not Task.objects.filter(parent=task, counted=True).exists()
    assert rescue.hand_back(DB, held(task)) == []


@pytest.mark.django_db(transaction=True)
def test_many_are_handed_back_by_one_statement_each_by_its_own_claim() -> None:
    tasks = forced_many(150, Status.RUNNING)
    tasks += forced_many(20, Status.RUNNING, fence=7, queue="mail", attempts=3)
    claims = [held(task) for task in tasks]
    # Others have these meanwhile.
    Task.objects.filter(pk=tasks[3].pk).update(fence=2)
    Task.objects.filter(pk=tasks[4].pk).update(worker_id=12)
    Task.objects.filter(pk=tasks[5].pk).update(
        status=Status.COMPLETE, worker=None, finished=NOW
    )

    with CaptureQueriesContext(connection) as queries:
        back = lifecycle.hand_back(DB, claims)

    # MySQL locks them first, between BEGIN and COMMIT.
    assert len(queries) <= (4 if connection.vendor == "mysql" else 1)
    kept = {task.pk for task in tasks[3:6]}
    assert dict(back) == {t.pk: t.queue for t in tasks if t.pk not in kept}
    first, last = row(tasks[0]), row(tasks[-1])
    assert (first["status"], first["fence"], first["attempts"]) == (Status.QUEUED, 2, 0)
    assert (last["status"], last["fence"], last["attempts"]) == (Status.QUEUED, 8, 2)
    assert (first["worker_id"], first["started"]) == (None, None)
    assert {status(task) for task in tasks[3:5]} == {Status.RUNNING}
    assert lifecycle.hand_back(DB, claims) == lifecycle.hand_back(DB, []) == []


@pytest.mark.django_db
def test_more_are_handed_back_than_a_statement_takes() -> None:
    tasks = forced_many(450, Status.RUNNING)
    assert len(lifecycle.hand_back(DB, [held(task) for task in tasks])) == 450
    assert not Task.objects.filter(status=Status.RUNNING).exists()


# --- text that a row must take --------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["\x00", "\ud800", "x" * 300, "é" * 20_000])
def test_row_62_any_text_of_a_failure_is_stored(text: str) -> None:
    task = forced(Status.RUNNING)

    failure = Failure.of(text, text, text)

    assert lifecycle.fail(DB, held(task), failure, now=NOW) == Status.FAILURE
    assert len(row(task)["exception"]) <= 255


# --- nobody else ----------------------------------------------------------------------

SOURCE = Path(cq.__file__).parent
#: lifecycle makes the moves, inserts records; a draft and a run are no rows yet.
INSERTS = "inserts.py"
NO_ROWS = {
    ("unique.py", "draft"),
    ("plan.py", "draft"),
    ("plan.py", "group"),
    ("outcome.py", "self"),
    ("sync_runner.py", "self"),
    ("async_runner.py", "self"),
}
#: Its tasks are doubles without a row.
DOUBLES = {"handle.py"}
WRITES = {"update", "update_returning", "create", "bulk_create", "bulk_update"}


def writes_of_status(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in WRITES and any(k.arg == "status" for k in node.keywords):
                found.append(f"{path.name}:{node.lineno}: {name}(status=...)")
        if isinstance(node, ast.Assign):
            for target in node.targets:
                owners = [n for n in ast.walk(target) if isinstance(n, ast.Attribute)]
                for owner in owners:
                    whose = (path.name, getattr(owner.value, "id", "?"))
                    allowed = whose in NO_ROWS or path.name in DOUBLES
                    if owner.attr == "status" and not allowed:
                        found.append(f"{path.name}:{node.lineno}: {whose[1]}.status =")
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search(r"SET\s+(\w+ = [^,]+,\s*)*status\b", node.value)
        ):
            found.append(f"{path.name}:{node.lineno}: SQL")
    return found


def test_nobody_but_lifecycle_writes_a_status() -> None:
    moves, others = [], []
    for path in SOURCE.rglob("*.py"):
        if "migrations" in path.parts or path.name == INSERTS:
            continue
        found = moves if path.parent.name == "lifecycle" else others
        found += writes_of_status(path)

    assert others == []
    # The search finds what there is to find.
    assert len(moves) > 8


@pytest.mark.django_db
def test_a_worker_that_died_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    register(seen=BEFORE)
    forced(Status.RUNNING)

    with caplog.at_level(logging.WARNING, "cq.rescue"):
        rescue.rescue(DB, WORKER, "it was switched off")

    assert "it was switched off" in caplog.text


@pytest.mark.django_db
def test_final_rows_stay_as_they_are_when_the_run_comes_back() -> None:
    for end in sorted(FINAL):
        task = forced(end, fence=1)
        before = row(task)
        assert lifecycle.complete(DB, held(task), "1", children=3) is None
        assert lifecycle.fail(DB, held(task), WHY, children=3) is None
        assert row(task) == before
