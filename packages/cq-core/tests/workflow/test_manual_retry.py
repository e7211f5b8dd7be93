"""Running a finished task again by hand, and what follows it."""

from __future__ import annotations

from typing import Any

import driving
import pytest
import sample_tasks
from forced import after, forced, forced_many, row, status

from cq import CQError, NotFinished, NotRetryable, UniqueTaken, group, lifecycle, task
from cq import chain as chain_of
from cq.lifecycle import Failure
from cq.maintenance import sweep
from cq.models import Edge, Task
from cq.status import FINAL, OPEN, RETRYABLE, Status
from cq.workflow import manual_retry as retries_module

pytestmark = pytest.mark.django_db

DB = "default"

#: What the tasks below do when they run: raise, or return.
broken: set[str] = set()


@task
def _fragile(cqt: Any, name: str) -> str:
    if name in broken:
        raise ValueError(f"{name} is broken")
    cqt.log(f"{name} ran")
    return name


@task
def _pair(cqt: Any, left: Any, right: Any) -> list[Any]:
    return [left, right]


@task(atomic=False)
def _with_subtasks(cqt: Any) -> str:
    cqt.subtask(_fragile, "a")
    cqt.subtask(_fragile, "b")
    return "done"


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    broken.clear()


@pytest.mark.parametrize("ended", sorted(RETRYABLE))
def test_a_finished_task_is_queued_again_in_the_same_row(ended: Status) -> None:
    made = forced(
        ended,
        fence=3,
        attempts=2,
        failures=2,
        losses=1,
        result=5,
        error="no",
        exception="ValueError",
        traceback="Traceback",
        outcome=Status.FAILURE,
        progress_done=1,
        log_lines=4,
    )
    made.refresh_from_db()

    assert made.retry() is made

    assert (made.status, made.fence, made.attempts) == (Status.QUEUED, 4, 2)
    assert (made.failures, made.losses, made.log_lines) == (0, 0, 4)
    cleared = ("result", "error", "exception", "traceback", "outcome", "finished")
    assert {getattr(made, name) for name in cleared} == {None}
    assert made.progress_done is None


@pytest.mark.parametrize("source", sorted(OPEN))
def test_an_open_task_is_not_finished(source: Status) -> None:
    made = forced(source)
    before = row(made)

    with pytest.raises(NotFinished, match=f"is {source}"):
        retries_module.retry(DB, made.pk)

    assert row(made) == before


def test_a_refusal_leaves_the_subtasks_counted() -> None:
    made = forced(Status.WAITING, open_children=1)
    child = forced(Status.QUEUED, made)

    with pytest.raises(NotFinished):
        retries_module.retry(DB, made.pk)

    assert row(child)["counted"]


def test_a_row_that_is_gone_cannot_be_retried() -> None:
    made = forced(Status.FAILURE)
    Task.objects.filter(pk=made.pk).delete()

    with pytest.raises(NotFinished, match="no row"):
        retries_module.retry(DB, made.pk)


def test_groups_and_chains_have_no_function_that_could_run() -> None:
    broken.add("a")
    made = [
        group([_fragile.s("a")]).delay(),
        chain_of([_fragile.s("a"), _fragile.si("b")]).delay(),
    ]
    driving.run_all()

    for container in made:
        assert status(container) == Status.INCOMPLETE
        with pytest.raises(NotRetryable, match="retry those of its subtasks"):
            container.retry()


def test_a_skipped_errorback_cannot_be_retried() -> None:
    made = _fragile.delay("a").errorback(_fragile, "b")
    driving.run_all()

    assert status(made) == Status.SKIPPED
    with pytest.raises(CQError):
        made.retry()


def test_a_retried_task_runs_and_keeps_its_log_and_counts_the_attempt() -> None:
    broken.add("a")
    made = _fragile.delay("a")
    made.log("before")
    driving.run_all()
    assert status(made) == Status.FAILURE

    broken.clear()
    made.retry()
    driving.run_all()

    after_it = driving.fresh(made)
    assert (after_it.status, after_it.result) == (Status.COMPLETE, "a")
    assert (after_it.attempts, after_it.error) == (2, None)
    assert after_it.format_logs() == "before\na ran"


# --- its subtasks ---------------------------------------------------------------------


def test_row_74_old_subtasks_stay_as_history_and_are_not_counted() -> None:
    broken.add("b")
    made = _with_subtasks.delay()
    driving.run_all()
    assert status(made) == Status.INCOMPLETE
    old = set(made.subtasks.values_list("pk", flat=True))

    broken.clear()
    made.retry()
    driving.run_all()

    assert status(made) == Status.COMPLETE
    assert made.subtasks.count() == 4
    counted = made.subtasks.filter(counted=True).values_list("pk", flat=True)
    assert not set(counted) & old


# --- its parent -----------------------------------------------------------------------


def test_a_parent_that_ended_for_it_waits_for_it_again_and_settles_by_what_comes() -> (
    None
):
    broken.add("b")
    parent = _with_subtasks.delay()
    driving.run_all()
    runs = row(parent)["attempts"]
    child = parent.subtasks.get(status=Status.FAILURE)
    assert status(parent) == Status.INCOMPLETE

    broken.clear()
    child.retry()

    assert status(child) == Status.QUEUED
    again = row(parent)
    assert (again["status"], again["error"]) == (Status.WAITING, None)
    assert (again["finished"], again["open_children"]) == (None, 1)
    driving.run_all()
    assert status(child) == Status.COMPLETE
    ended = row(parent)
    assert (ended["status"], ended["error"]) == (Status.COMPLETE, None)
    assert ended["finished"] is not None
    # Its own function has not run again.
    assert ended["attempts"] == runs


def test_all_parents_up_to_the_top_wait_again_and_what_depends_on_them() -> None:
    root = forced(Status.INCOMPLETE, name="cq.group", error="subtask is INCOMPLETE")
    middle = forced(Status.INCOMPLETE, root, attempts=1, error="subtask is FAILURE")
    failed = forced(Status.FAILURE, middle)
    behind = forced(Status.INCOMPLETE, attempts=0, error="predecessor is INCOMPLETE")
    after(behind, root, met=False)

    retries_module.retry(DB, failed.pk)

    assert [status(t) for t in (failed, middle, root, behind)] == [
        Status.QUEUED,
        Status.WAITING,
        Status.WAITING,
        Status.PENDING,
    ]
    assert [row(t)["open_children"] for t in (middle, root)] == [1, 1]


@pytest.mark.parametrize(
    "ended",
    sorted(FINAL - {Status.INCOMPLETE}),
)
def test_a_parent_that_has_settled_otherwise_stays_as_it_is(ended: Status) -> None:
    parent = forced(ended, attempts=1)
    child = forced(Status.FAILURE, parent)
    before = row(parent)

    retries_module.retry(DB, child.pk)

    assert row(parent) == before
    assert (status(child), row(child)["counted"]) == (Status.QUEUED, False)


def test_a_parent_that_never_began_is_not_taken_for_one_that_has_ended() -> None:
    # It was blocked by a predecessor, and what somebody had added to it was revoked.
    parent = forced(Status.INCOMPLETE, attempts=0)
    child = forced(Status.REVOKED, parent)

    retries_module.retry(DB, child.pk)

    assert status(parent) == Status.INCOMPLETE
    assert row(child)["counted"] is False


def test_one_that_had_succeeded_reopens_nobody() -> None:
    parent = forced(Status.INCOMPLETE, attempts=1, error="subtask other is FAILURE")
    child = forced(Status.COMPLETE, parent)
    forced(Status.FAILURE, parent)
    before = row(parent)

    retries_module.retry(DB, child.pk)

    assert row(parent) == before
    assert (status(child), row(child)["counted"]) == (Status.QUEUED, False)


def test_a_parent_that_waits_again_says_which_other_subtask_has_failed() -> None:
    parent = forced(Status.INCOMPLETE, attempts=1, error="subtask one is FAILURE")
    one, other = forced_many(2, Status.FAILURE, parent)

    retries_module.retry(DB, one.pk)

    again = row(parent)
    assert (again["status"], again["outcome"]) == (Status.WAITING, Status.INCOMPLETE)
    assert str(other.pk) in again["error"]
    assert str(one.pk) not in again["error"]


def test_a_parent_that_waits_again_has_its_unique_key_again() -> None:
    parent = forced(Status.INCOMPLETE, attempts=1, options={"unique": "the one"})
    one, other = forced_many(2, Status.FAILURE, parent)

    retries_module.retry(DB, one.pk)
    assert row(parent)["unique_key"] == "the one"

    Task.objects.filter(pk=parent.pk).update(
        status=Status.INCOMPLETE,
        finished=row(other)["finished"],
        outcome=None,
        unique_key=None,
    )
    Task.objects.filter(pk=one.pk).update(
        status=Status.FAILURE, finished=row(other)["finished"]
    )
    forced(Status.QUEUED, unique_key="the one")
    with pytest.raises(UniqueTaken, match="'the one'"):
        retries_module.retry(DB, one.pk)
    assert [status(t) for t in (one, parent)] == [Status.FAILURE, Status.INCOMPLETE]


# --- what failed below ----------------------------------------------------------------


def test_what_failed_below_runs_again_and_nothing_else() -> None:
    broken.add("b")
    parent = _with_subtasks.delay()
    driving.run_all()
    before = dict(parent.subtasks.values_list("pk", "attempts"))
    failed = parent.subtasks.get(status=Status.FAILURE)
    broken.clear()

    assert parent.retry(failed=True).status == Status.WAITING
    driving.run_all()

    assert status(parent) == Status.COMPLETE
    counts = dict(parent.subtasks.values_list("pk", "attempts"))
    assert counts == {**before, failed.pk: before[failed.pk] + 1}
    assert row(parent)["attempts"] == 1


def test_failed_ones_are_found_at_any_depth_but_not_below_one_that_runs_again() -> None:
    root = forced(Status.INCOMPLETE, attempts=1)
    middle = forced(Status.INCOMPLETE, root, attempts=1)
    deep = forced(Status.LOST, middle)
    late = forced(Status.EXPIRED, root)
    raised = forced(Status.FAILURE, root)
    below = forced(Status.FAILURE, raised)
    history = forced(Status.FAILURE, root, counted=False)
    done = forced(Status.COMPLETE, root)

    assert retries_module.retry_failed(DB, root.pk) == 3

    assert [status(t) for t in (deep, late, raised)] == [Status.QUEUED] * 3
    assert [status(t) for t in (root, middle)] == [Status.WAITING] * 2
    assert [status(t) for t in (below, history, done)] == [
        Status.FAILURE,
        Status.FAILURE,
        Status.COMPLETE,
    ]


def test_where_nothing_failed_below_there_is_nothing_to_run() -> None:
    alone = forced(Status.FAILURE)
    with pytest.raises(NotRetryable, match="nothing has failed below"):
        alone.retry(failed=True)
    assert status(alone) == Status.FAILURE


def test_a_key_that_is_taken_keeps_no_other_from_being_retried() -> None:
    root = forced(Status.INCOMPLETE, attempts=1)
    taken = forced(Status.FAILURE, root, options={"unique": "the one"})
    other = forced(Status.FAILURE, root)
    forced(Status.QUEUED, unique_key="the one")

    with pytest.raises(UniqueTaken):
        root.retry(failed=True)

    assert [status(t) for t in (taken, other)] == [Status.FAILURE, Status.QUEUED]


def test_an_open_parent_waits_for_it_again_and_forgets_that_it_had_failed() -> None:
    broken.add("b")
    parent = _with_subtasks.delay()
    driving.run(parent)
    a, b = parent.subtasks.order_by("pk")
    driving.run(b)
    assert "b is broken" in row(parent)["error"]

    broken.clear()
    b.retry()
    assert (row(parent)["error"], row(parent)["open_children"]) == (None, 2)
    driving.run(a)
    assert status(parent) == Status.WAITING
    driving.run(b)

    assert status(parent) == Status.COMPLETE


def test_an_open_parent_remembers_another_that_has_failed() -> None:
    parent = forced(Status.WAITING, open_children=1)
    one, other = forced_many(2, Status.FAILURE, parent)
    forced(Status.QUEUED, parent)
    lifecycle.child_settled(DB, parent.pk, 0, Failure.of("subtask failed"))

    retries_module.retry(DB, one.pk)

    assert row(parent)["outcome"] == Status.INCOMPLETE
    assert row(parent)["error"] == "subtask failed"
    assert status(other) == Status.FAILURE


def test_history_of_an_earlier_attempt_is_not_counted_again() -> None:
    parent = forced(Status.WAITING, open_children=1)
    forced(Status.QUEUED, parent)
    old = forced(Status.REVOKED, parent, counted=False)

    retries_module.retry(DB, old.pk)

    assert (status(old), row(old)["counted"]) == (Status.QUEUED, False)
    assert row(parent)["open_children"] == 1


# --- what depends on it ---------------------------------------------------------------


def test_what_ended_for_its_sake_waits_for_it_again_all_the_way_down() -> None:
    broken.add("a")
    first = _fragile.delay("a")
    second = first.chain(_pair, "x")
    third = second.chain(_pair, "y")
    errorback = third.errorback(_fragile, "too late")
    driving.run_all()
    assert {status(t) for t in (second, third)} == {Status.INCOMPLETE}
    assert status(errorback) == Status.COMPLETE

    broken.clear()
    first.retry()
    assert {status(t) for t in (second, third)} == {Status.PENDING}
    assert (row(third)["error"], row(third)["finished"]) == (None, None)
    driving.run_all()

    assert driving.fresh(third).result == [["a", "x"], "y"]
    # It ran when it was needed, and does not run again.
    assert (status(errorback), row(errorback)["attempts"]) == (Status.COMPLETE, 1)


def test_an_errorback_that_was_not_needed_waits_again_too() -> None:
    made = _fragile.delay("a")
    errorback = made.errorback(_fragile, "b")
    driving.run_all()
    assert status(errorback) == Status.SKIPPED

    broken.add("a")
    made.retry()
    assert status(errorback) == Status.PENDING
    driving.run_all()

    assert status(errorback) == Status.COMPLETE


def test_what_another_failed_predecessor_blocks_stays_until_that_is_retried() -> None:
    broken.update("ab")
    a, b = _fragile.delay("a"), _fragile.delay("b")
    both = _pair.delay(a, b)
    driving.run_all()

    broken.clear()
    a.retry()
    assert status(both) == Status.INCOMPLETE
    driving.run_all()
    assert (status(a), status(both)) == (Status.COMPLETE, Status.INCOMPLETE)
    b.retry()
    assert status(both) == Status.PENDING
    driving.run_all()
    # No commit in a test's transaction, so no look after it: the sweep finds `a`.
    sweep.resolve_forgotten(DB)
    driving.run_all()

    assert driving.fresh(both).result == ["a", "b"]


def test_two_retried_together_bring_back_what_needs_both() -> None:
    broken.update("ab")
    a, b = _fragile.delay("a"), _fragile.delay("b")
    both = _pair.delay(a, b)
    driving.run_all()

    broken.clear()
    a.retry()
    b.retry()
    driving.run_all()

    assert driving.fresh(both).result == ["a", "b"]


def test_a_blocked_task_follows_its_predecessor_and_is_not_run_without_it() -> None:
    broken.add("a")
    first = _fragile.delay("a")
    second = first.chain(_pair, "x")
    driving.run_all()
    before = row(second)

    with pytest.raises(NotRetryable, match=f"waits for .*{first.pk}, which is FAILURE"):
        second.retry()

    assert row(second) == before


def test_a_revoked_dependant_that_is_retried_waits_for_its_predecessor() -> None:
    first = _fragile.delay("a")
    second = first.chain(_pair, "x")
    second.revoke()

    second.retry()
    assert status(second) == Status.PENDING
    driving.run_all()

    assert driving.fresh(second).result == ["a", "x"]


def test_a_task_whose_predecessor_has_succeeded_since_runs_at_once() -> None:
    upstream = forced(Status.COMPLETE)
    made = forced(Status.INCOMPLETE)
    after(made, upstream, met=False)

    retries_module.retry(DB, made.pk)

    assert status(made) == Status.QUEUED


def test_a_dependant_of_an_earlier_attempt_is_not_counted_again() -> None:
    parent = forced(Status.WAITING, open_children=1)
    forced(Status.QUEUED, parent)
    upstream = forced(Status.FAILURE)
    made = forced(Status.INCOMPLETE, parent, counted=False)
    after(made, upstream, met=False)

    retries_module.retry(DB, upstream.pk)

    assert (status(made), row(made)["counted"]) == (Status.PENDING, False)
    assert row(parent)["open_children"] == 1
    assert Edge.objects.get().met is None


# --- its key --------------------------------------------------------------------------


def test_its_unique_key_is_its_own_again() -> None:
    broken.add("a")
    made = _fragile.using(unique="key").delay("a")
    driving.run_all()
    assert row(made)["unique_key"] is None

    made.retry()

    assert row(made)["unique_key"] == "key"
    assert not _fragile.using(unique="key").delay("a").created


def test_a_key_that_is_live_again_is_refused_and_nothing_is_changed() -> None:
    broken.add("a")
    made = _fragile.using(unique="key").delay("a")
    chained = made.chain(_pair, "x")
    driving.run_all()
    other = _fragile.using(unique="key").delay("a")
    before, chained_before = row(made), row(chained)

    with pytest.raises(UniqueTaken, match="'key'"):
        made.retry()

    assert (row(made), row(chained)) == (before, chained_before)
    assert status(other) == Status.QUEUED


@pytest.mark.django_db(transaction=True)
def test_the_bell_is_rung_after_the_commit(settings: Any) -> None:
    made = sample_tasks.fails.delay()
    driving.run_all()
    settings.CQ_RUN_INLINE = True

    made.retry()

    assert (made.status, made.attempts) == (Status.FAILURE, 2)
