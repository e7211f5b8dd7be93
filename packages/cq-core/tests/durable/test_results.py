"""results(): a durable task that waits for others, off its slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from driving import fresh, run, run_all, run_on_a_loop
from racing import race

import cq
from cq import codec, group, lifecycle, task
from cq.lifecycle import Failure
from cq.maintenance import sweep
from cq.maintenance.invariants import CHECKS
from cq.models import Edge, Task
from cq.status import Status
from cq.tables.queries import tasks
from cq.workflow import advance

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
#: What the function does with the handles, and what it was called with.
calls: list[Any] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    calls.clear()


@task
def doubles(cqt: Any, n: int) -> int:
    if n < 0:
        raise ValueError(f"{n} is too little")
    return 2 * n


@task(durable=True)
def sums(cqt: Any, numbers: list[int], errors: str = "raise") -> list[Any]:
    calls.append(cqt.attempts)
    handles = [cqt.using(key=n).subtask(doubles, n) for n in numbers]
    return [_shown(found) for found in cqt.results(handles, errors=errors)]


@task(durable=True)
async def sums_openly(cqt: Any, numbers: list[int]) -> list[Any]:
    handles = [await cqt.using(key=n).asubtask(doubles, n) for n in numbers]
    found: list[Any] = await cqt.aresults(handles)
    return found


@task(durable=True)
def catches(cqt: Any, numbers: list[int]) -> str:
    handles = [cqt.using(key=n).subtask(doubles, n) for n in numbers]
    try:
        cqt.results(handles)
    except cq.TaskFailed as error:
        return f"{error.task.name.rpartition('.')[2]} has failed"
    return "nothing has failed"


@task(durable=True)
def waits_for(cqt: Any, handle: Any) -> Any:
    return cqt.results([Task.objects.get(pk=handle)])


@task(durable=True)
def gives(cqt: Any, what: str) -> Any:
    given = {"a task": cqt.subtask(doubles, 1), "text": ["no"], "number": 7}
    return cqt.results(given[what])


@task(durable=True)
def of_a_group(cqt: Any) -> Any:
    return cqt.results([cqt.subtask(group(doubles.s(1), doubles.s(2)))])


@task(atomic=False)
def plain(cqt: Any) -> Any:
    return cqt.results([])


def _shown(found: Any) -> Any:
    return type(found).__name__ if isinstance(found, Exception) else found


def settle(handle: Task) -> None:
    """Run what is below a task."""
    for child in handle.subtasks.order_by("pk"):
        if child.status == Status.QUEUED:
            run(child)


def broken() -> list[str]:
    found = []
    for check in CHECKS:
        rows = check.rows(DB).filter(check.condition(DB, None))
        found += [check.what] * rows.count()
    return found


@pytest.mark.parametrize("function", [sums, sums_openly])
def test_it_gives_its_slot_back_until_the_last_has_settled(function: Any) -> None:
    runs: Callable[..., Task] = run_on_a_loop if function is sums_openly else run
    handle = function.delay([1, 2, 3])

    found = runs(handle)

    assert (found.status, found.run_after) == (Status.SUSPENDED, None)
    assert (found.open_children, Edge.objects.count()) == (3, 3)
    assert broken() == []
    first, *others = found.subtasks.order_by("pk")
    assert first.name in found.why()
    for child in (first, others[0]):
        run(child)
        assert fresh(handle).status == Status.SUSPENDED
    run(others[1])
    assert (fresh(handle).status, fresh(handle).attempts) == (Status.QUEUED, 0)

    found = runs(handle)

    assert (found.status, found.result, found.attempts) == ("COMPLETE", [2, 4, 6], 1)
    # Found again, and not made once more.
    assert found.subtasks.count() == 3
    assert not Edge.objects.exists()
    assert broken() == []


def test_what_has_settled_already_is_not_waited_for() -> None:
    done = doubles.delay(4)
    run(done)

    found = run(waits_for.delay(done.pk))

    assert (found.status, found.result) == (Status.COMPLETE, [8])


def test_of_a_group_it_is_the_list() -> None:
    handle = of_a_group.delay()
    run_all()

    assert fresh(handle).result == [[2, 4]]


def test_the_first_that_failed_is_raised_and_fails_the_task() -> None:
    handle = sums.delay([1, -1, -2])
    run_all()

    found = fresh(handle)
    assert (found.status, found.exception) == ("FAILURE", "cq.errors.TaskFailed")
    assert "-1 is too little" in (found.error or "")
    assert broken() == []


def test_a_retry_by_hand_looks_anew_and_makes_none_once_more() -> None:
    handle = sums.delay([1, -1])
    run_all()
    failed = handle.subtasks.get(status=Status.FAILURE)
    assert fresh(handle).status == Status.FAILURE

    # It has still not succeeded.
    handle.retry()
    run_all()
    assert fresh(handle).status == Status.FAILURE
    tasks(DB).filter(pk=failed.pk).update(
        status=Status.COMPLETE,
        result=codec.Encoded("-2"),
        error=None,
        exception=None,
        traceback=None,
    )
    handle.retry()
    run_all()

    assert fresh(handle).result == [2, -2]
    assert handle.subtasks.count() == 2


def test_who_catches_it_is_told_the_same_by_a_rerun_and_stays_incomplete() -> None:
    handle = catches.delay([-1])
    run_all()

    found = fresh(handle)
    assert (found.status, found.result) == ("INCOMPLETE", "doubles has failed")


def test_what_is_returned_as_an_error_counts_as_dealt_with() -> None:
    handle = sums.delay([1, -1], "return")
    run_all()

    found = fresh(handle)
    assert (found.status, found.result) == ("COMPLETE", [2, "TaskFailed"])
    assert found.error is None
    assert sorted(handle.subtasks.values_list("counted", flat=True)) == [False, True]
    assert broken() == []


def test_others_that_failed_are_not_dealt_with_by_that() -> None:
    handle = sums.delay([-1], "return")
    run(handle)
    handle.subtask(sample_tasks.fails)
    run_all()

    assert fresh(handle).status == Status.INCOMPLETE


@pytest.mark.parametrize("told", ["before", "behind"])
def test_whoever_is_told_of_a_failure_late_has_dealt_with_it(told: str) -> None:
    handle = sums.delay([-1], "return")
    run(handle)
    child = handle.subtasks.get()
    # Its worker has written that, and is about to tell.
    failure = Failure.of("no", "ValueError")
    tasks(DB).filter(pk=child.pk).update(
        status=Status.FAILURE, finished=child.submitted, **failure._asdict()
    )
    sweep.resolve_forgotten(DB)
    if told == "before":
        advance.after_settled(DB, [child.pk])
        found = run(handle)
    else:
        found = run(handle)
        lifecycle.child_settled(DB, handle.pk, 1, failure)

    assert (found.status, found.result) == (Status.COMPLETE, ["TaskFailed"])


def test_one_of_two_that_settle_at_once_wakes_it() -> None:
    handles = [sums.delay([1, 2]) for _ in range(20)]
    pairs = []
    for handle in handles:
        run(handle)
        pairs.append(list(handle.subtasks.values_list("pk", flat=True)))

    def settles(at: int) -> Callable[[list[Any]], None]:
        def settle(pair: list[Any]) -> None:
            run(Task.objects.get(pk=pair[at]))

        return settle

    race(pairs, settles(0), settles(1))

    assert {fresh(handle).status for handle in handles} == {Status.QUEUED}


def test_a_child_that_settles_while_it_is_suspended_is_not_missed() -> None:
    handle = sums.delay([1])
    seen: list[str] = []

    def settles_first(using: str, held: Any, until: Any) -> bool:
        child = handle.subtasks.get()
        tasks(DB).filter(pk=child.pk).update(
            status=Status.COMPLETE, result=codec.Encoded("2"), finished=child.submitted
        )
        seen.append(child.status)
        return suspend(using, held, until)

    suspend = lifecycle.suspend
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "suspend", settles_first)
        found = run(handle)

    assert (seen, found.status) == ([Status.QUEUED], Status.QUEUED)


def test_a_child_that_is_run_again_meanwhile_is_waited_for_again() -> None:
    handle = sums.delay([1, 2])
    run(handle)
    first, second = handle.subtasks.order_by("pk")
    run(first)
    first.retry()
    run(second)

    # Woken, it finds that one is open again.
    found = run(handle)
    assert found.status == Status.SUSPENDED
    run(first)

    assert run(handle).result == [2, 4]


def test_one_that_was_revoked_meanwhile_can_be_run_again() -> None:
    handle = sums.delay([1])
    run(handle)
    handle.revoke()
    assert Edge.objects.count() == 1

    handle.retry()

    assert fresh(handle).status == Status.QUEUED
    # Its subtask was withdrawn with it, and is run again with it.
    assert run(handle).status == Status.SUSPENDED
    run_all()
    assert fresh(handle).result == [2]


def test_a_retry_goes_on_where_it_failed() -> None:
    """Of its subtasks those run again that failed; what they have below them, too."""
    broken_below: list[int] = [1]

    @task(name="tests.results.leaf")
    def leaf(cqt: Any, n: int) -> int:
        calls.append(n)
        if n in broken_below:
            raise ValueError(f"{n} is broken")
        return n

    @task(name="tests.results.tree")
    def tree(cqt: Any) -> Any:
        calls.append("tree")
        cqt.subtask(leaf, 1)
        return "tree"

    @task(durable=True, name="tests.results.gathers")
    def gathers(cqt: Any) -> list[Any]:
        handles = [cqt.subtask(leaf, 0), cqt.subtask(tree), cqt.subtask(leaf, 1)]
        given: list[Any] = cqt.results(handles)
        return given

    handle = gathers.delay()
    run_all()
    assert fresh(handle).status == Status.FAILURE
    assert sorted(calls, key=str) == [0, 1, 1, "tree"]

    calls.clear()
    broken_below.clear()
    fresh(handle).retry()
    run_all()
    found = fresh(handle)
    assert (found.status, found.result) == (Status.COMPLETE, [0, "tree", 1])
    assert calls == [1, 1]
    assert broken() == []


def test_a_failure_that_the_function_dealt_with_stays_dealt_with() -> None:
    handle = sums.delay([1, -1], errors="return")
    run_all()
    tasks(DB).filter(pk=handle.pk).update(status=Status.FAILURE)
    fresh(handle).retry()
    run_all()
    assert fresh(handle).result == [2, "TaskFailed"]
    assert sorted(t.attempts for t in handle.subtasks.all()) == [1, 1]


def test_who_waits_for_what_waits_for_it_is_told_so() -> None:
    handle = waits_for.delay(None)
    tasks(DB).filter(pk=handle.pk).update(args=codec.Encoded(f'["{handle.pk}"]'))

    found = run(handle)

    assert (found.status, found.exception) == ("FAILURE", "cq.errors.CycleError")
    assert not Edge.objects.exists()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("a task", "list of handles"),
        ("text", "no handle"),
        ("number", "list of handles"),
    ],
)
def test_what_is_no_handle_is_refused(what: str, says: str) -> None:
    found = run(gives.delay(what))

    assert says in (found.error or "")
    assert found.status in (Status.FAILURE, Status.WAITING)


def test_one_whose_row_is_gone_is_named() -> None:
    handle = sums.delay([1])
    run(handle)
    handle.subtasks.all().delete()
    sweep.sweep(DB)

    found = run(handle)

    assert (found.status, found.exception) == ("FAILURE", "cq.errors.RowGone")


def test_another_word_for_errors_is_refused() -> None:
    found = run(sums.delay([], "hide"))

    assert "'hide'" in (found.error or "")


def test_a_plain_task_is_told_what_it_takes() -> None:
    found = run(plain.delay())

    assert "@task(durable=True)" in (found.error or "")
