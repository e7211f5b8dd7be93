"""Subtasks, chains, dependencies, groups, returned handles: step by step."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import sample_tasks as tasks
from django.contrib.auth.models import Group
from django.db import DatabaseError, transaction
from driving import claim, fresh, run, run_all

from cq import AlreadySettled, CodecError, CycleError, TaskFailed, chain, group, task
from cq.execution import sync_runner as cq_runner
from cq.models import Edge, Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task
def takes_none(cqt: Any) -> Any:
    return ["before:", cqt.previous.result]


@task
def takes_any(cqt: Any, *args: Any, when: str = "never", **kwargs: Any) -> Any:
    return [list(args), when, kwargs]


@task
def reports(cqt: Any, note: str = "") -> Any:
    return [note, cqt.previous.status, cqt.previous.error]


@task
def merges_anything(cqt: Any, what: Any, **more: Any) -> Any:
    return [what, more] if more else what


@task
def mails(cqt: Any, addrs: list[str], newsletter: bool = True) -> str:
    for addr in addrs:
        cqt.subtask(tasks.send_email, addr)
    if newsletter:
        tasks.send_email.delay("newsletter")
    return "SENT"


@task
def returns_subtask(cqt: Any) -> Any:
    cqt.subtask(tasks.square, 2)
    return cqt.subtask(tasks.square, 3)


@task
def returns_chain_of_three(cqt: Any) -> Any:
    first = tasks.square.delay(2)
    return first.chain(tasks.square).chain(tasks.square)


@task
def returns_given(cqt: Any, pk: Any) -> Any:
    return Task.objects.get(pk=pk)


@task
def merges_with_a_failure(cqt: Any) -> Any:
    good, bad = cqt.subtask(tasks.square, 2), cqt.subtask(tasks.fails, "bad")
    return cqt.subtask(tasks.merge, [good, bad])


@task
def nests(cqt: Any, levels: int) -> int:
    if levels:
        cqt.subtask(nests, levels - 1)
    return levels


@task
async def writes_and_subtasks(cqt: Any, then: str) -> str:
    await Group.objects.acreate(name="async")
    await cqt.asubtask(tasks.square, 2)
    if then == "raise":
        raise ValueError(then)
    return then


@task
def writes_nested(cqt: Any) -> str:
    Group.objects.create(name="outer")
    with contextlib.suppress(DatabaseError), transaction.atomic():
        Group.objects.create(name="inner")
        cqt.subtask(tasks.send_email, "inner")
        Group.objects.create(name="outer")
    cqt.subtask(tasks.send_email, "outer")
    return "done"


# --- subtasks -------------------------------------------------------------------------


def test_a_parent_waits_for_its_subtasks_and_keeps_its_own_result() -> None:
    parent = mails.delay(["a", "b"])
    parent = run(parent)
    assert (parent.status, parent.result) == (Status.WAITING, "SENT")
    first, second = parent.subtasks.order_by("pk")
    assert {first.status, second.status} == {Status.QUEUED}
    run(first)
    assert fresh(parent).status == Status.WAITING
    run(second)
    parent = fresh(parent)
    assert (parent.status, parent.result) == (Status.COMPLETE, "SENT")
    assert parent.finished is not None


def test_what_delay_makes_inside_a_task_is_no_subtask() -> None:
    parent = run(mails.delay([]))
    assert parent.status == Status.COMPLETE
    other = Task.objects.get(name="sample_tasks.send_email")
    assert (other.parent, other.root) == (None, other)
    assert other.status == Status.QUEUED


def test_the_tuple_is_the_list_of_arguments() -> None:
    parent = claim(tasks.square.delay(1))
    assert parent.subtask(takes_any, (1, 2)).args == (1, 2)
    assert parent.subtask(takes_any, 1, 2).args == (1, 2)
    assert parent.subtask(takes_any, ((1, 2),)).args == ((1, 2),)
    assert parent.subtask(takes_any.s((1, 2))).args == ((1, 2),)
    assert parent.subtask(takes_any, [1, 2]).args == ([1, 2],)
    assert parent.subtask(takes_any, (1, 2), 3).args == ((1, 2), 3)
    assert parent.subtask(takes_any, ()).args == ()
    both = parent.subtask(takes_any, (1,), key=2)
    assert (both.args, both.kwargs) == ((1,), {"key": 2})


def test_a_subtask_takes_a_task_with_options_or_a_call() -> None:
    parent = claim(tasks.square.delay(1))
    assert parent.subtask(tasks.square.using(queue="q"), 2).queue == "q"
    assert parent.subtask(tasks.square.s(2).using(priority=4)).priority == 4
    with pytest.raises(TypeError, match=r"put them into its \.s"):
        parent.subtask(tasks.square.s(2), 3)
    with pytest.raises(TypeError, match="is no task"):
        parent.subtask(len, [])
    with pytest.raises(TypeError, match=r"sample_tasks\.square"):
        parent.subtask(tasks.square)


def test_row_70_a_settled_parent_takes_no_more() -> None:
    parent = run(tasks.send_emails.delay(["a"]))
    (child,) = parent.subtasks.all()
    assert parent.subtask(tasks.square, 1).parent_id == parent.pk
    run_all()
    assert fresh(parent).status == Status.COMPLETE
    with pytest.raises(AlreadySettled, match="has settled; nothing can be added"):
        parent.subtask(tasks.square, 1)
    with pytest.raises(AlreadySettled):
        child.chain(tasks.square, 1)
    with pytest.raises(AlreadySettled):
        child.errorback(reports)
    assert Task.objects.count() == 3


def test_row_64_a_hundred_levels_are_no_recursion_and_one_more_is_refused() -> None:
    top = nests.delay(100)
    assert run_all() == ["nests"] * 101
    assert fresh(top).status == Status.COMPLETE
    assert Task.objects.order_by("-depth")[0].depth == 100
    too_deep = nests.delay(101)
    run_all()
    too_deep = fresh(too_deep)
    assert too_deep.status == Status.INCOMPLETE
    refused = Task.objects.get(status=Status.FAILURE)
    assert "CQ_MAX_TREE_DEPTH is 100" in refused.error
    assert not Task.objects.filter(status__in=["WAITING", "RUNNING"]).exists()


def test_inline_the_same_tree_is_a_flat_queue(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    settings.CQ_MAX_TREE_DEPTH = 300
    assert nests.delay(250).wait(30).status == Status.COMPLETE


# --- chains ---------------------------------------------------------------------------


def test_a_chained_task_waits_for_its_predecessor() -> None:
    first = tasks.square.delay(3)
    second = first.chain(tasks.add_a_to_4, (4,))
    assert fresh(second).status == Status.PENDING
    run(first)
    assert fresh(second).status == Status.QUEUED
    assert run(second).result == 13
    assert fresh(second).previous == first


def test_the_result_comes_first_where_the_function_takes_one_more() -> None:
    first = tasks.calc_a.delay(3)
    wants_two = first.chain(tasks.add_a_to_4, 10)
    fits_already = first.chain(tasks.add_a_to_4, 10, 20)
    by_keyword = first.chain(tasks.add_a_to_4, b=5)
    takes_it_in = first.chain(takes_any, 1)
    left_alone = first.chain(takes_any.si(1))
    not_wanted = first.chain(takes_none)
    run_all()
    assert fresh(wants_two).result == 13
    assert fresh(fits_already).result == 30
    assert fresh(by_keyword).result == 8
    assert fresh(takes_it_in).result[0] == [3, 1]
    assert fresh(left_alone).result[0] == [1]
    assert fresh(not_wanted).result == ["before:", 3]


def test_what_fits_neither_way_is_refused_where_it_is_chained() -> None:
    first = tasks.calc_a.delay(3)
    for call in (
        lambda: first.chain(tasks.add_a_to_4),
        lambda: first.chain(tasks.add_a_to_4, 1, 2, 3),
        lambda: first.chain(tasks.add_a_to_4.si(1)),
        lambda: first.chain(tasks.add_a_to_4, a=1),
    ):
        with pytest.raises(TypeError, match="add_a_to_4"):
            call()
    assert Task.objects.count() == 1


def test_when_is_chains_own_and_a_functions_own_goes_into_s() -> None:
    first = tasks.calc_a.delay(3)
    mine = first.chain(takes_any.s(when="mine"))
    settled = first.chain(takes_any, when="settled")
    with pytest.raises(ValueError, match="'mine', but must be one of complete, failed"):
        first.chain(takes_any, when="mine")
    run_all()
    assert fresh(mine).result == [[3], "mine", {}]
    assert fresh(settled).result == [[3], "never", {}]


def test_a_chain_on_what_has_settled_starts_or_ends_at_once() -> None:
    good, bad = run(tasks.calc_a.delay(3)), run(tasks.fails.delay("bad"))
    assert run(good.chain(tasks.square)).result == 9
    blocked = fresh(bad.chain(tasks.square))
    assert (blocked.status, blocked.previous) == (Status.INCOMPLETE, bad)
    assert "bad" in blocked.error
    assert run(bad.errorback(reports)).result == ["", "FAILURE", "bad"]
    assert fresh(good.errorback(reports)).status == Status.SKIPPED
    assert run(bad.chain(reports, when="settled")).status == Status.COMPLETE


def test_a_chain_made_in_the_predecessors_transaction_starts_after_it() -> None:
    with transaction.atomic():
        first = tasks.calc_a.delay(3)
        second = first.chain(tasks.square)
    assert run_all() == ["calc_a", "square"]
    assert fresh(second).result == 9


def test_row_71_a_failure_goes_downstream_with_the_reason() -> None:
    first = tasks.fails.delay("bad")
    second = first.chain(tasks.square, 1)
    third = second.chain(tasks.square, 1)
    run(first)
    second, third = fresh(second), fresh(third)
    assert {second.status, third.status} == {Status.INCOMPLETE}
    assert f"predecessor sample_tasks.fails {first.pk} is FAILURE: bad" in second.error
    assert "bad" in third.error
    with pytest.raises(TaskFailed, match="bad"):
        third.get(1)


@pytest.mark.parametrize(
    ("function", "when", "status"),
    [
        (tasks.calc_a, "complete", Status.COMPLETE),
        (tasks.calc_a, "settled", Status.COMPLETE),
        (tasks.calc_a, "failed", Status.SKIPPED),
        (tasks.fails, "complete", Status.INCOMPLETE),
        (tasks.fails, "settled", Status.COMPLETE),
        (tasks.fails, "failed", Status.COMPLETE),
    ],
)
def test_when_decides_what_follows(function: Any, when: str, status: Status) -> None:
    after = function.delay(1).chain(reports, "x", when=when)
    run_all()
    assert fresh(after).status == status


def test_an_errorback_gets_nothing_but_finds_the_error() -> None:
    handler = tasks.fails.delay("bad").errorback(reports, "noted")
    run_all()
    assert fresh(handler).result == ["noted", "FAILURE", "bad"]
    bare = tasks.fails.delay("bad").errorback(takes_any)
    run_all()
    assert fresh(bare).result[0] == []


def test_what_was_not_needed_counts_as_success_for_its_parent() -> None:
    @task(name="has an errorback")
    def parent(cqt: Any) -> str:
        cqt.subtask(tasks.square, 2).errorback(reports)
        return "fine"

    top = parent.delay()
    run_all()
    top = fresh(top)
    skipped = top.subtasks.get(name=reports.name)
    assert (top.status, skipped.status) == (Status.COMPLETE, Status.SKIPPED)
    assert skipped.get(1) is None


def test_what_follows_a_skipped_task_is_skipped() -> None:
    handler = tasks.calc_a.delay(1).errorback(chain(reports.s("a"), tasks.calc_a.s(5)))
    after = handler.chain(reports)
    run_all()
    steps = fresh(handler).subtasks.order_by("pk")
    assert [step.status for step in steps] == [Status.SKIPPED, Status.SKIPPED]
    assert fresh(handler).status == Status.COMPLETE
    skipped = tasks.calc_a.delay(1).errorback(reports)
    after, merged = skipped.chain(reports), tasks.merge.delay([skipped])
    anyhow = skipped.chain(reports, when="settled")
    run_all()
    assert fresh(after).status == fresh(merged).status == Status.SKIPPED
    assert fresh(anyhow).result == [None, "SKIPPED", None]


def test_row_72_an_error_in_an_errorback_leaves_the_first_outcome_alone() -> None:
    first = tasks.fails.delay("first")
    handler = first.errorback(tasks.fails, "second")
    run_all()
    assert (fresh(first).status, fresh(first).error) == (Status.FAILURE, "first")
    assert (fresh(handler).status, fresh(handler).error) == (Status.FAILURE, "second")


# --- dependencies by handle -----------------------------------------------------------


def test_handles_become_results_at_any_depth() -> None:
    a, b, c = (tasks.square.delay(n) for n in (2, 3, 4))
    merged = merges_anything.delay(
        [a, {"b": [b, ["plain", c]]}, 7, (a,)], extra={"deep": {"er": b}}
    )
    assert Edge.objects.filter(task=merged).count() == 5
    assert run_all() == ["square", "square", "square", "merges_anything"]
    assert fresh(merged).result == [
        [4, {"b": [9, ["plain", 16]]}, 7, (4,)],
        {"extra": {"deep": {"er": 9}}},
    ]


def test_the_arguments_of_a_row_show_the_handles() -> None:
    a = tasks.square.delay(2)
    merged = fresh(tasks.merge.delay([a, a]))
    assert merged.args == ([a, a],)


def test_a_failed_dependency_makes_the_merge_and_the_parent_incomplete() -> None:
    top = merges_with_a_failure.delay()
    run_all()
    top = fresh(top)
    merged = top.subtasks.get(name="sample_tasks.merge")
    assert (merged.status, merged.attempts) == (Status.INCOMPLETE, 0)
    assert "bad" in merged.error
    assert top.status == Status.INCOMPLETE
    assert "sample_tasks.fails" in top.error


def test_row_68_the_first_failure_shows_on_the_parent_before_it_settles() -> None:
    @task(name="fails beside another")
    def parent(cqt: Any) -> None:
        cqt.subtask(tasks.fails, "early")
        cqt.subtask(tasks.square, 1)

    top = run(parent.delay())
    run(top.subtasks.get(name="sample_tasks.fails"))
    seen = fresh(top)
    assert seen.status == Status.WAITING
    assert "early" in seen.error
    run_all()
    assert fresh(top).status == Status.INCOMPLETE


def test_a_handle_that_stands_for_no_place_is_refused() -> None:
    a = tasks.square.delay(2)
    with pytest.raises(CodecError, match=r"args\[0\]"):
        tasks.merge.delay({a})
    with pytest.raises(CodecError, match=r"args\[0\]"):
        merges_anything.delay({a: 1})
    assert Task.objects.count() == 1


def test_a_settled_dependency_is_used_at_once() -> None:
    a = run(tasks.square.delay(2))
    merged = tasks.merge.delay([a])
    assert fresh(merged).status == Status.QUEUED
    assert run(merged).result == [4]


def test_a_deleted_dependency_does_not_block_for_ever() -> None:
    a = tasks.square.delay(2)
    merged = tasks.merge.delay([a])
    Task.objects.filter(pk=a.pk).delete()
    from cq.maintenance import sweep

    sweep.sweep("default")
    assert fresh(merged).status == Status.INCOMPLETE
    assert "deleted" in fresh(merged).error


# --- groups and chains of calls -------------------------------------------------------


def test_a_group_is_one_root_with_the_results_in_order() -> None:
    top = group([tasks.square.s(2), tasks.square.s(3)]).delay()
    assert fresh(top).status == Status.WAITING
    assert {t.root_id for t in Task.objects.all()} == {top.pk}
    run_all()
    assert fresh(top).status == Status.COMPLETE
    assert fresh(top).get(1) == [4, 9]


def test_an_empty_group_gives_the_empty_list() -> None:
    top = group([]).delay()
    run_all()
    assert fresh(top).get(1) == []
    after = chain(tasks.square.s(2), group(), tasks.merge.s()).delay()
    run_all()
    assert fresh(after).get(1) == []


def test_groups_and_chains_nest() -> None:
    inner = chain(tasks.square.s(2), tasks.square.s())
    top = chain(
        group(inner, group([tasks.calc_a.s(1), tasks.calc_a.s(2)])),
        tasks.merge.s(),
        group([merges_anything.s(), tasks.merge.s()]),
    ).delay()
    run_all()
    assert fresh(top).get(1) == [[16, [1, 2]], [16, [1, 2]]]
    assert {t.root_id for t in Task.objects.all()} == {top.pk}
    assert not Task.objects.exclude(status=Status.COMPLETE).exists()


def test_a_failed_member_makes_the_group_incomplete() -> None:
    top = chain(group([tasks.square.s(2), tasks.fails.s("x")]), tasks.merge.s()).delay()
    run_all()
    top = fresh(top)
    assert top.status == Status.INCOMPLETE
    assert "x" in top.error
    with pytest.raises(TaskFailed):
        top.get(1)


def test_a_group_or_chain_may_be_a_subtask_or_follow() -> None:
    @task(name="groups below")
    def parent(cqt: Any) -> Any:
        each = cqt.subtask(group([tasks.square.s(2), tasks.square.s(3)]))
        return each.chain(chain(tasks.merge.s(), tasks.merge.s()))

    top = parent.delay()
    run_all()
    top = fresh(top)
    assert (top.status, top.result) == (Status.COMPLETE, [4, 9])
    assert {t.root_id for t in Task.objects.all()} == {top.pk}


# --- returned handles -----------------------------------------------------------------


def test_a_returned_handle_is_adopted_with_what_is_before_it() -> None:
    top = run(returns_chain_of_three.delay())
    assert top.status == Status.WAITING
    assert top.subtasks.count() == 3
    assert {t.root_id for t in Task.objects.all()} == {top.pk}
    run_all()
    top = fresh(top)
    assert (top.status, top.result) == (Status.COMPLETE, 256)


def test_a_returned_subtask_gives_its_result() -> None:
    top = returns_subtask.delay()
    run_all()
    assert fresh(top).result == 9
    assert fresh(top).subtasks.count() == 2


def test_a_failed_returned_handle_makes_the_parent_incomplete() -> None:
    @task(name="returns a failure")
    def parent(cqt: Any) -> Any:
        return tasks.fails.delay("bad").chain(tasks.square, 1)

    top = parent.delay()
    run_all()
    top = fresh(top)
    assert (top.status, top.result) == (Status.INCOMPLETE, None)
    assert "bad" in top.error


def test_a_settled_handle_gives_its_outcome_at_once() -> None:
    good, bad = run(tasks.square.delay(5)), run(tasks.fails.delay("bad"))
    top = run(returns_given.delay(good.pk))
    assert (top.status, top.result) == (Status.COMPLETE, 25)
    assert fresh(good).parent == top
    failed = run(returns_given.delay(bad.pk))
    assert failed.status == Status.INCOMPLETE
    assert "bad" in failed.error


def test_a_handle_of_another_parent_fails_the_task() -> None:
    other = run(tasks.send_emails.delay(["a"]))
    (child,) = other.subtasks.all()
    top = run(returns_given.delay(child.pk))
    assert (top.status, top.exception) == (Status.FAILURE, "TypeError")
    assert f"is a subtask of {other.pk}; a task has one parent" in top.error
    assert fresh(child).parent == other


def test_a_handle_that_was_rolled_back_fails_the_task() -> None:
    @task(name="returns what was undone")
    def parent(cqt: Any) -> Any:
        with transaction.atomic():
            handle = tasks.square.delay(1)
            transaction.set_rollback(True)
        return handle

    top = run(parent.delay())
    assert top.status == Status.FAILURE
    assert "has no row" in top.error


def test_the_log_of_an_adopted_task_follows_it() -> None:
    early = run(tasks.logs_lines.delay(2))
    assert early.format_logs() == "line 0\nline 1"
    top = run(returns_given.delay(early.pk))
    assert top.format_logs() == "line 0\nline 1"


def test_row_65_returning_itself_or_what_waits_for_it_is_a_cycle() -> None:
    top = claim(tasks.square.delay(1))
    after = top.chain(tasks.square)
    for handle in (top, after):
        child = run(returns_given.delay(handle.pk))
        assert child.status in (Status.WAITING, Status.COMPLETE, Status.FAILURE)

    @task(name="returns itself")
    def itself(cqt: Any) -> Any:
        return cqt

    own = run(itself.delay())
    assert (own.status, own.exception) == (Status.FAILURE, "cq.errors.CycleError")
    assert CycleError.__name__ in own.traceback


# --- coroutines and transactions ------------------------------------------------------


def test_an_atomic_coroutine_writes_all_or_nothing() -> None:
    done = run(writes_and_subtasks.delay("fine"))
    assert done.status == Status.WAITING
    assert Group.objects.count() == 1
    run_all()
    Group.objects.all().delete()
    failed = run(writes_and_subtasks.delay("raise"))
    assert (failed.status, failed.error) == (Status.FAILURE, "raise")
    assert not Group.objects.exists()
    assert not failed.subtasks.exists()


def test_a_coroutine_that_is_not_atomic_keeps_what_it_wrote() -> None:
    failed = run(writes_and_subtasks.using(atomic=False).delay("raise"))
    assert (failed.status, failed.error) == (Status.WAITING, "raise")
    assert Group.objects.count() == 1
    run_all()
    assert fresh(failed).status == Status.FAILURE


def test_what_an_inner_block_undoes_includes_its_subtasks() -> None:
    top = run(writes_nested.delay())
    assert top.status == Status.WAITING
    (child,) = top.subtasks.all()
    assert child.args == ("outer",)
    assert list(Group.objects.values_list("name", flat=True)) == ["outer"]
    run_all()
    assert fresh(top).status == Status.COMPLETE


def test_a_run_whose_claim_is_gone_adds_nothing() -> None:
    @task(name="is taken away", atomic=False)
    def taken(cqt: Any) -> None:
        Task.objects.filter(pk=cqt.pk).update(fence=99)
        cqt.subtask(tasks.square, 1)

    handle = claim(taken.delay())
    cq_runner.execute(handle)
    assert fresh(handle).status == Status.RUNNING
    assert not Task.objects.filter(name="sample_tasks.square").exists()


# --- what a failure began with --------------------------------------------------------


@task("workflows.breaks")
def _breaks(cqt: Any, *given: Any) -> None:
    raise KeyError("customer")


@task("workflows.passes_on")
def _passes_on(cqt: Any, *given: Any) -> str:
    return "done"


@task("workflows.sees_why")
def _sees_why(cqt: Any) -> list[Any]:
    return [cqt.previous.exception, str(cqt.previous.cause)]


def _failing(kind: str) -> Any:
    if kind == "group":
        return group([_passes_on.s(), _breaks.s()])
    if kind == "nested":
        return group([chain(_passes_on.s(), _breaks.s())])
    return chain(_passes_on.s(), _breaks.s(), _passes_on.s())


@pytest.mark.parametrize("kind", ["group", "chain", "nested"])
def test_what_failed_because_of_another_has_the_exception_it_began_with(
    settings: Any, kind: str
) -> None:
    settings.CQ_RUN_INLINE = True
    made = _failing(kind).delay()
    errorback = made.errorback(_sees_why)
    made.refresh_from_db()
    broken = Task.objects.get(name="workflows.breaks")

    assert (made.status, made.exception) == (Status.INCOMPLETE, "KeyError")
    assert made.cause == broken.pk
    assert made.traceback == broken.traceback
    assert "_breaks" in made.traceback
    assert errorback.get() == ["KeyError", str(broken.pk)]


def test_what_is_blocked_has_it_as_well_but_for_the_traceback(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    broken = _breaks.delay()
    first = broken.chain(_passes_on)
    second = first.chain(_passes_on)
    for blocked in (first, second):
        blocked.refresh_from_db()
        assert (blocked.exception, blocked.cause) == ("KeyError", broken.pk)
        assert blocked.traceback is None


def test_one_that_is_withdrawn_is_a_cause_without_an_exception(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    made = group([_passes_on.s(), _passes_on.s()]).delay()
    revoked = made.subtasks.first()
    revoked.revoke()
    run_all()
    made.refresh_from_db()

    assert (made.status, made.exception) == (Status.INCOMPLETE, None)
    assert made.cause == revoked.pk


def test_its_own_failure_has_no_cause_and_a_retry_forgets_the_one_there_was(
    settings: Any,
) -> None:
    settings.CQ_RUN_INLINE = True
    own = _breaks.delay()
    made = group([_breaks.s()]).delay()
    settings.CQ_RUN_INLINE = False
    made.subtasks.get().retry()
    made.refresh_from_db()

    assert (own.exception, own.cause) == ("KeyError", None)
    assert (made.status, made.exception, made.cause) == (Status.WAITING, None, None)
    assert made.traceback is None


# --- the bar of a canvas --------------------------------------------------------------


def test_calls_with_a_bar_between_them_are_a_chain() -> None:
    made = tasks.square.s(2) | tasks.square.s() | tasks.square.s()

    assert len(made.steps) == 3
    handle = made.delay()
    run_all()
    assert fresh(handle).result == 256


def test_a_group_may_stand_before_the_bar_and_a_task_behind_it() -> None:
    handle = (group([tasks.square.s(2), tasks.square.s(3)]) | tasks.merge).delay()
    run_all()

    assert fresh(handle).result == [4, 9]


def test_behind_a_bar_stands_nothing_but_a_call() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        tasks.square.s(2) | 3
