"""What the verbs leave in the history of a task, and how much of it stays."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from forced import AFTER, BEFORE, NOW, WORKER, forced, forced_many, held, register
from plans import analyze, plan
from racing import race, rounds

from cq import lifecycle
from cq.lifecycle import Failure
from cq.lifecycle.attempts import KEPT, KEPT_FIRST, KEPT_LAST
from cq.models import Attempt, Task, Worker
from cq.status import FINAL, Status
from cq.text import LONGEST_PAST_ERROR, LONGEST_PAST_TRACEBACK

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

DB = "default"
WHY = Failure.of("no", "shop.Broken", "Traceback of it")
LATE = Failure.of("It ran too long.", "cq.errors.TaskTimeout", "Traceback of it")
#: Tries of one task; see CONTRIBUTING.md for how to have 5,000.
TRIES = int(os.environ.get("CQ_TEST_TRIES", "200"))


def running(**values: Any) -> Task:
    return forced(Status.RUNNING, **{"fence": 3, "attempts": 2} | values)


def only(task: Task) -> Attempt:
    (found,) = task.history
    return found


def test_a_failure_is_kept_with_what_it_was() -> None:
    register()
    task = running()

    assert lifecycle.fail(DB, held(task), WHY, now=NOW) == Status.FAILURE

    found = only(task)
    assert isinstance(found, Attempt)
    assert (found.task_id, found.number, found.outcome) == (task.pk, 2, "failed")
    assert (found.started, found.ended, found.worker) == (BEFORE, NOW, "here:1")
    assert (found.exception, found.error) == ("shop.Broken", "no")
    assert found.traceback == "Traceback of it"
    assert (found.next, found.by, found.reason) == (None, None, None)
    assert str(found) == "2: failed"


def test_of_one_that_is_tried_again_it_says_when() -> None:
    task = running()

    assert lifecycle.postpone(DB, held(task), WHY, 60.0, NOW)

    found = only(task)
    assert (found.outcome, found.ended) == ("failed", NOW)
    assert found.next == Task.objects.get(pk=task.pk).run_after
    assert (found.next - NOW).total_seconds() == 60


def test_the_time_of_an_earlier_try_is_not_taken_for_the_next() -> None:
    task = running(run_after=BEFORE)
    lifecycle.fail(DB, held(task), WHY, now=NOW)
    assert only(task).next is None


def test_what_ran_too_long_timed_out() -> None:
    one, again = running(), running()
    lifecycle.fail(DB, held(one), LATE, now=NOW)
    lifecycle.postpone(DB, held(again), LATE, 1.0, NOW)
    assert (only(one).outcome, only(again).outcome) == ("timed out", "timed out")


def test_who_waits_for_subtasks_has_failed_already() -> None:
    task = running()
    forced(Status.QUEUED, task)

    assert lifecycle.fail(DB, held(task), WHY, now=NOW) == Status.WAITING
    Task.objects.filter(parent=task).update(status=Status.COMPLETE, finished=NOW)
    assert lifecycle.settle(DB, task.pk, AFTER) == Status.FAILURE

    assert (only(task).outcome, only(task).ended) == ("failed", NOW)


@pytest.mark.parametrize("most", [3, 1])
def test_a_lost_one_names_its_worker_and_when_that_was_noticed(most: int) -> None:
    register()
    task = running()

    assert lifecycle.rescue(DB, held(task), most, "Its worker was gone.", NOW)
    Worker.objects.all().delete()

    found = only(task)
    assert (found.number, found.outcome, found.worker) == (2, "lost", "here:1")
    assert (found.started, found.ended) == (BEFORE, NOW)
    assert (found.error, found.exception) == ("Its worker was gone.", None)


def test_a_run_that_is_handed_back_was_drained_and_one_that_had_not_begun_was_none() -> (
    None
):
    register()
    begun, ahead = running(), running()

    assert lifecycle.drain(DB, held(begun)) == [(begun.pk, "default")]
    assert lifecycle.hand_back(DB, [held(ahead)])

    found = only(begun)
    assert (found.number, found.outcome, found.worker) == (2, "drained", "here:1")
    assert found.started == BEFORE
    assert not ahead.history.exists()
    assert Task.objects.get(pk=begun.pk).attempts == 1


def test_of_what_is_revoked_that_is_kept_which_ran() -> None:
    register()
    task = running()
    waits = [forced(s) for s in (Status.QUEUED, Status.PENDING, Status.RETRY)]
    waits += [forced(Status.WAITING, attempts=1, started=BEFORE)]
    ids = [t.pk for t in (task, *waits)]

    assert sorted(lifecycle.revoke(DB, ids, "By Kim.", NOW)) == sorted(ids)

    found = only(task)
    assert (found.number, found.outcome, found.reason) == (2, "revoked", "By Kim.")
    assert (found.started, found.ended, found.worker) == (BEFORE, NOW, "here:1")
    assert (found.error, found.exception, found.traceback) == (None, None, None)
    assert Attempt.objects.count() == 1


@pytest.mark.parametrize("ended", sorted(FINAL - {Status.SKIPPED}))
def test_a_retry_by_hand_keeps_the_outcome_that_it_takes_away(ended: Status) -> None:
    reason = None if ended == Status.COMPLETE else "so it was"
    task = forced(
        ended,
        attempts=2,
        started=BEFORE,
        finished=NOW,
        error=reason,
        exception="shop.Broken",
        traceback="Traceback of it",
    )

    lifecycle.retry(
        DB, task.pk, counted=True, unique_key=None, by="kim", reason="again"
    )

    found = only(task)
    assert (found.number, found.outcome) == (2, "taken back")
    assert (found.started, found.ended) == (BEFORE, NOW)
    assert (found.error, found.exception) == (reason, "shop.Broken")
    assert found.traceback == "Traceback of it"
    assert (found.by, found.reason, found.worker) == ("kim", "again", None)


def test_the_outcome_of_a_run_whose_worker_was_kept_has_that_worker() -> None:
    register()
    task = running()
    lifecycle.fail(DB, held(task), WHY, now=NOW)
    Worker.objects.all().delete()

    lifecycle.retry(DB, task.pk, counted=True, unique_key=None)

    assert [a.worker for a in task.history] == ["here:1", "here:1"]
    assert [a.outcome for a in task.history] == ["taken back", "failed"]


def test_without_a_row_the_worker_is_this_process_or_a_number() -> None:
    mine, lost = running(), running()
    lifecycle.fail(DB, held(mine), WHY, now=NOW)
    lifecycle.rescue(DB, held(lost), 3, "gone", NOW)
    assert only(mine).worker == f"{socket.gethostname()}:{os.getpid()}"
    assert only(lost).worker == str(WORKER)


def test_what_is_no_try_leaves_nothing() -> None:
    late = forced(Status.QUEUED, expires=BEFORE)
    blocked, skipped = forced_many(2, Status.PENDING)
    done, later = running(), running()

    assert lifecycle.expire(DB, 10, NOW) == [late.pk]
    assert lifecycle.block(DB, {blocked.pk: Failure.of("why")}, NOW)
    assert lifecycle.skip(DB, [skipped.pk], NOW)
    assert lifecycle.complete(DB, held(done), "9", now=NOW)
    assert lifecycle.retry_later(DB, held(later), 5.0, {}, NOW)

    assert not Attempt.objects.exists()


#: How a run ends badly, by a claim.
ENDS: dict[str, Callable[[lifecycle.Claim], Any]] = {
    "fail": lambda c: lifecycle.fail(DB, c, WHY, now=NOW),
    "postpone": lambda c: lifecycle.postpone(DB, c, WHY, 5.0, NOW),
    "rescue": lambda c: lifecycle.rescue(DB, c, 3, "gone", NOW),
    "drain": lambda c: lifecycle.drain(DB, c),
}


@pytest.mark.parametrize("verb", ENDS)
def test_who_does_not_hold_the_claim_keeps_nothing(verb: str) -> None:
    task = running()

    assert not ENDS[verb](held(task)._replace(fence=2))

    assert not Attempt.objects.exists()


@pytest.mark.parametrize("verb", ENDS)
def test_an_end_that_is_undone_takes_its_attempt_along(verb: str) -> None:
    task = running()
    with transaction.atomic():
        assert ENDS[verb](held(task))
        assert Attempt.objects.exists()
        transaction.set_rollback(True)
    assert not Attempt.objects.exists()
    assert Task.objects.get(pk=task.pk).status == Status.RUNNING


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    task = running()
    failure = Failure.of(
        "begins" + "é" * 9_000 + "ends", "x" * 300, "begins" + "\n" * 99_000 + "ends"
    )

    lifecycle.fail(DB, held(task), failure, now=NOW)

    found = only(task)
    assert len(found.error) <= LONGEST_PAST_ERROR == 4096
    assert len(found.traceback) <= LONGEST_PAST_TRACEBACK == 65536
    for text in (found.error, found.traceback):
        assert text.startswith("begins")
        assert text.endswith("ends")
        assert "the middle is left out" in text
    # A text that fits is what it was.
    exactly = Failure.of("e" * LONGEST_PAST_ERROR, None, "t" * LONGEST_PAST_TRACEBACK)
    other = running()
    lifecycle.fail(DB, held(other), exactly, now=NOW)
    assert (only(other).error, only(other).traceback) == exactly[0::2][:2]


def test_any_text_may_be_a_reason() -> None:
    task = running()
    lifecycle.revoke(DB, [task.pk], "\x00 \ud800 🚀" + "x" * 9_000, NOW)
    assert only(task).reason.startswith("\\x00 \\ud800 🚀")
    assert len(only(task).reason) <= LONGEST_PAST_ERROR


# --- how many stay --------------------------------------------------------------------


def try_again(task: Task, number: int) -> None:
    """Have a try fail, as the claims and failures of so many would."""
    Task.objects.filter(pk=task.pk).update(
        status=Status.RUNNING,
        worker=WORKER,
        started=BEFORE,
        fence=number,
        attempts=number,
    )
    claim = lifecycle.Claim(task.pk, number, WORKER)
    assert lifecycle.postpone(DB, claim, Failure.of(f"try {number}"), 0, NOW)


def test_the_first_and_the_last_stay_however_many_there_were() -> None:
    task, other = forced_many(2, Status.RUNNING)
    try_again(other, 1)

    for number in range(1, TRIES + 1):
        try_again(task, number)
        assert task.history.count() == min(number, KEPT)

    kept = [a.number for a in task.history]
    last = range(TRIES, TRIES - KEPT_LAST, -1)
    assert kept == [*last, *range(KEPT_FIRST, 0, -1)]
    assert (KEPT, KEPT_FIRST, KEPT_LAST) == (50, 5, 45)
    assert task.history.first().error == f"try {TRIES}"
    assert other.history.count() == 1


def test_forgetting_costs_as_much_as_ever() -> None:
    task = forced(Status.RUNNING)

    def statements(number: int) -> int:
        with CaptureQueriesContext(connection) as seen:
            try_again(task, number)
        return len(seen)

    counts = [statements(number) for number in range(1, KEPT + 20)]

    assert len(set(counts[:KEPT])) == 1
    assert set(counts[KEPT:]) == {counts[0] + 1}


def test_retries_of_many_by_hand_keep_no_more_either() -> None:
    tasks = forced_many(3, Status.FAILURE, attempts=1, error="no")
    ids = [t.pk for t in tasks]
    for _ in range(KEPT + 10):
        assert len(lifecycle.retry_many(DB, ids)) == 3
        Task.objects.filter(pk__in=ids).update(status=Status.FAILURE, finished=NOW)
    assert [t.history.count() for t in tasks] == [KEPT] * 3


def test_revocations_and_losses_keep_no_more_either() -> None:
    task = forced(Status.RUNNING, fence=0, attempts=0)
    for turn in range(KEPT + 10):
        Task.objects.filter(pk=task.pk).update(
            status=Status.RUNNING, worker=WORKER, finished=None, fence=2 * turn
        )
        if turn % 3 == 0:
            assert lifecycle.revoke(DB, [task.pk], "no", NOW)
            continue
        claim = lifecycle.Claim(task.pk, 2 * turn, WORKER)
        if turn % 3 == 1:
            assert lifecycle.rescue(DB, claim, 99, "gone", NOW)
        else:
            assert lifecycle.drain(DB, claim)
    assert task.history.count() == KEPT


@pytest.mark.backend("postgres", "sqlite")
def test_each_statement_finds_its_rows_by_an_index() -> None:
    old = forced_many(3000, Status.COMPLETE)
    Attempt.objects.bulk_create(
        [Attempt(task=t, number=1, ended=NOW, outcome="failed") for t in old]
    )
    ended = forced_many(3, Status.FAILURE, fence=99)
    runs = [running(fence=99) for _ in range(5)]
    analyze("cq_tasks", "cq_attempts")
    seen: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "cq_attempts" in sql:
            seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        lifecycle.fail(DB, held(runs[0]), WHY, now=NOW)
        lifecycle.rescue(DB, held(runs[1]), 3, "gone", NOW)
        lifecycle.drain(DB, held(runs[2]))
        lifecycle.revoke(DB, [t.pk for t in (*runs[3:], *old[:5])], "no", NOW)
        lifecycle.retry_many(DB, [t.pk for t in ended])

    assert len(seen) == 10  # each is followed by a look for what is too much
    for sql, params in seen:
        found = plan(sql, params)
        for table in ("cq_tasks", "cq_attempts"):
            assert f"Seq Scan on {table}" not in found, found
            assert not re.search(rf"SCAN {table}\b(?!.* USING )", found), found


# --- races ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_a_failure_and_a_revocation_one_is_kept() -> None:
    tasks = [running() for _ in range(rounds(20))]

    race(
        tasks,
        lambda task: lifecycle.fail(DB, held(task), WHY),
        lambda task: lifecycle.revoke(DB, [task.pk], "no"),
    )

    for task in tasks:
        ended = {Status.FAILURE: "failed", Status.REVOKED: "revoked"}
        assert only(task).outcome == ended[Task.objects.get(pk=task.pk).status]


@pytest.mark.django_db(transaction=True)
def test_of_two_retries_by_hand_one_is_kept() -> None:
    tasks = [forced(Status.FAILURE, error="no") for _ in range(rounds(20))]

    def again(task: Task) -> int:
        return len(lifecycle.retry_many(DB, [task.pk]))

    first, second = race(tasks, again, again)

    assert [a + b for a, b in zip(first, second, strict=True)] == [1] * len(tasks)
    assert Attempt.objects.count() == len(tasks)
