"""What the sweep brings forward, and what it removes; the rest is in test_advance."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sample_tasks
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from driving import fresh, run
from forced import (
    AFTER,
    BEFORE,
    NOW,
    after,
    draft,
    forced,
    forced_many,
    row,
    saved,
    status,
)
from plans import analyze, plan
from racing import beside

from cq import lifecycle
from cq.db import statements
from cq.definitions.retention import KEPT_FOREVER
from cq.maintenance import probe, prune, rounds, sweep
from cq.models import Edge, Stack, Task, TaskLog
from cq.status import FINAL, OPEN, Status
from cq.workers.claim_order import claim_next

pytestmark = pytest.mark.django_db

DB = "default"


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def ids() -> set[Any]:
    return set(Task.objects.values_list("pk", flat=True))


def line(task: Task, number: int = 1) -> TaskLog:
    return TaskLog.objects.create(
        root_id=task.root_id, task=task, number=number, level=20, time=NOW, message="x"
    )


# --- time -----------------------------------------------------------------------------


@pytest.mark.parametrize("source", [Status.PENDING, Status.RETRY])
def test_what_has_come_to_its_time_is_queued(source: Status) -> None:
    early = forced(source, run_after=AFTER)
    due, now = (forced(source, run_after=at) for at in (BEFORE, NOW))

    assert sweep.due(DB, NOW) == 2

    assert status(early) == source
    assert (status(due), status(now)) == (Status.QUEUED, Status.QUEUED)


def test_what_did_not_start_in_time_expires_and_tells_who_waits() -> None:
    parent = forced(Status.WAITING, open_children=1)
    late = forced(Status.QUEUED, parent, expires=BEFORE)
    pending = forced(Status.PENDING, expires=BEFORE, run_after=AFTER)
    follower = forced(Status.PENDING, open_edges=1)
    after(follower, late)
    good = forced(Status.QUEUED, expires=AFTER)
    running = forced(Status.RUNNING, expires=BEFORE)

    assert sweep.due(DB, NOW) == 2

    assert (status(late), status(pending)) == (Status.EXPIRED, Status.EXPIRED)
    assert row(late)["error"] == "It was not started before it expired."
    assert (status(parent), status(follower)) == (Status.INCOMPLETE, Status.INCOMPLETE)
    assert (status(good), status(running)) == (Status.QUEUED, Status.RUNNING)


def test_what_had_started_in_time_is_tried_again_whenever() -> None:
    rescued = forced(Status.QUEUED, expires=BEFORE, attempts=1)

    assert sweep.due(DB, NOW) == 0
    (claimed,) = claim_next(DB, 77, 10, now=NOW)

    assert claimed.pk == rescued.pk


@pytest.mark.parametrize("ended", [Status.EXPIRED, Status.REVOKED, Status.SKIPPED])
def test_row_70_what_a_settled_parent_has_left_behind_is_revoked(ended: Status) -> None:
    gone = forced(ended)
    left = [forced(status, gone) for status in (Status.QUEUED, Status.WAITING)]
    forced(Status.QUEUED, left[1])
    history = forced(Status.QUEUED, gone, counted=False)
    waiting = forced(Status.WAITING, open_children=1)
    kept = forced(Status.QUEUED, waiting)

    assert sweep.sweep(DB, NOW, thorough=False) == 0
    assert sweep.sweep(DB, NOW) == 2
    # Level by level.
    assert sweep.sweep(DB, NOW) == 1

    assert {status(task) for task in left} == {Status.REVOKED}
    assert row(left[0])["error"] == "Its parent has settled without it."
    assert (status(history), status(kept)) == (Status.QUEUED, Status.QUEUED)
    assert sweep.sweep(DB, NOW) == 0


told: list[Any] = []


def keeps_open(call_next: Any, run: Any) -> Any:
    return call_next(run)


keeps_open.cut_off = lambda task: told.append(task.pk)  # type: ignore[attr-defined]


def test_what_is_revoked_so_is_told_to_middleware_that_keeps_something_open(
    settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    told.clear()
    settings.CQ_MIDDLEWARE = [f"{__name__}.keeps_open"]
    left = forced(Status.QUEUED, forced(Status.EXPIRED))

    with django_capture_on_commit_callbacks(execute=True):
        sweep.sweep(DB, NOW)

    assert told == [left.pk]


def test_the_stack_of_a_task_that_is_gone_is_deleted_now_and_then() -> None:
    there = forced(Status.RUNNING)
    for task in (there.pk, uuid4()):
        Stack.objects.create(task_id=task, taken=NOW, worker="web:1", text="here")

    sweep.sweep(DB, NOW, thorough=False)
    assert Stack.objects.count() == 2
    sweep.sweep(DB, NOW)
    assert Stack.objects.get().pk == there.pk


def test_what_expires_and_is_due_at_once_expires() -> None:
    task = forced(Status.PENDING, expires=BEFORE, run_after=BEFORE)

    sweep.due(DB, NOW)

    assert status(task) == Status.EXPIRED


def test_row_46_without_a_moment_the_clock_of_the_database_decides() -> None:
    now = timezone.now()
    due = forced(Status.PENDING, run_after=now - timedelta(minutes=1))
    early = forced(Status.PENDING, run_after=now + timedelta(minutes=1))

    sweep.due(DB)

    assert (status(due), status(early)) == (Status.QUEUED, Status.PENDING)


def test_a_pass_is_bounded_and_the_next_goes_on_with_the_oldest() -> None:
    rows = [draft(Status.PENDING, run_after=BEFORE - timedelta(i)) for i in range(9)]
    saved(rows)
    forced_many(3, Status.QUEUED, expires=BEFORE)

    assert sweep.due(DB, NOW, limit=4) == 3 + 4
    assert [status(t) for t in rows] == ["PENDING"] * 5 + ["QUEUED"] * 4
    assert sweep.due(DB, NOW, limit=4) == 4
    assert sweep.due(DB, NOW, limit=4) == 1
    assert sweep.due(DB, NOW, limit=4) == 0


def test_forgotten_parents_are_settled_in_bounded_passes_bottom_up() -> None:
    tops = forced_many(5, Status.WAITING, open_children=1)
    middles = saved([draft(Status.WAITING, t, open_children=1) for t in tops])
    saved([draft(Status.COMPLETE, m) for m in middles])

    assert sweep.settle_forgotten(DB, NOW, limit=3) == 3
    assert sweep.settle_forgotten(DB, NOW, limit=3) == 2
    assert {status(t) for t in tops + middles} == {Status.COMPLETE}
    assert sweep.settle_forgotten(DB, NOW, limit=3) == 0


def test_forgotten_edges_are_all_found_however_many_fit_a_page() -> None:
    upstream = forced(Status.COMPLETE)
    tasks = forced_many(7, Status.PENDING, open_edges=1)
    for task in tasks:
        after(task, upstream)

    assert sweep.resolve_forgotten(DB, NOW, limit=3) == 7

    assert {status(t) for t in tasks} == {Status.QUEUED}


def test_edges_that_are_rightly_open_do_not_starve_those_that_are_not() -> None:
    running, settled = forced(Status.RUNNING), forced(Status.COMPLETE)
    for task in forced_many(5, Status.PENDING, open_edges=1):
        after(task, running)
    forgotten = forced(Status.PENDING, open_edges=1)
    after(forgotten, settled)

    assert sweep.resolve_forgotten(DB, NOW, limit=2) == 1

    assert status(forgotten) == Status.QUEUED


@pytest.mark.backend("sqlite", "postgres")
def test_what_is_forgotten_behind_many_is_found_by_a_later_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds, "MAX_PAGES", 2)
    upstream = forced(Status.RUNNING)
    for task in forced_many(25, Status.PENDING, open_edges=1):
        after(task, upstream)
    forgotten = forced(Status.PENDING)

    # Ten in each, and the last begins anew.
    passes = [sweep.queue_forgotten(DB, limit=5) for _ in range(4)]

    assert passes == [0, 0, 1, 0]
    assert status(forgotten) == Status.QUEUED


def test_an_idle_sweep_costs_a_handful_of_queries() -> None:
    forced_many(20, Status.COMPLETE)
    waiting = forced(Status.WAITING, open_children=1)
    forced(Status.QUEUED, waiting)

    with CaptureQueriesContext(connection) as queries:
        assert sweep.sweep(DB, NOW) == 0

    assert len(queries) <= 11


# --- time to live ---------------------------------------------------------------------


@pytest.mark.parametrize("end", sorted(FINAL))
def test_a_finished_task_goes_after_its_time_to_live(end: Status) -> None:
    old = forced(end, finished=NOW - timedelta(seconds=61), result_ttl=60)
    young = forced(end, finished=NOW - timedelta(seconds=59), result_ttl=60)
    for_ever = forced(end, finished=NOW - timedelta(days=9999), result_ttl=KEPT_FOREVER)
    line(old)
    line(young)

    assert prune.prune(DB, NOW) == 1

    assert ids() == {young.pk, for_ever.pk}
    assert set(TaskLog.objects.values_list("task", flat=True)) == {young.pk}
    assert old.pk not in ids()


@pytest.mark.parametrize("open_status", sorted(OPEN))
def test_an_open_task_is_never_pruned(open_status: Status) -> None:
    task = forced(open_status, result_ttl=0)

    prune.prune(DB, NOW)

    assert ids() == {task.pk}


def test_row_76_a_tree_goes_as_a_whole_by_the_time_to_live_of_its_root() -> None:
    root = forced(Status.COMPLETE, result_ttl=60)
    child = forced(Status.FAILURE, root, result_ttl=None)
    grandchild = forced(Status.COMPLETE, child, result_ttl=1e9)
    follower = forced(Status.COMPLETE, root)
    after(follower, child, met=True)
    line(root, 1)
    line(grandchild, 2)
    kept = forced(Status.COMPLETE)
    kept_child = forced(Status.COMPLETE, kept, result_ttl=0)
    kept_line = line(kept_child)

    assert prune.prune(DB, NOW) == 4

    assert ids() == {kept.pk, kept_child.pk}
    assert list(TaskLog.objects.all()) == [kept_line]
    assert not Edge.objects.exists()


def test_row_76_a_task_is_kept_while_something_open_depends_on_any_of_its_tree() -> (
    None
):
    alone = forced(Status.COMPLETE, result_ttl=0)
    root = forced(Status.COMPLETE, result_ttl=0)
    child = forced(Status.COMPLETE, root)
    waits_for_alone, waits_for_child = forced_many(2, Status.PENDING, open_edges=1)
    after(waits_for_alone, alone, met=True)
    after(waits_for_child, child, met=True)

    assert prune.prune(DB, NOW) == 0
    assert {alone.pk, root.pk, child.pk} <= ids()
    # Once they have settled, nothing needs it.
    Task.objects.filter(pk=waits_for_alone.pk).update(
        status=Status.COMPLETE, finished=NOW
    )

    assert prune.prune(DB, NOW) == 1
    assert alone.pk not in ids()
    assert {root.pk, child.pk, waits_for_alone.pk, waits_for_child.pk} == ids()


def test_a_tree_is_kept_while_a_retried_subtask_of_it_is_open() -> None:
    root = forced(Status.INCOMPLETE, result_ttl=0)
    child = forced(Status.RUNNING, root, counted=False)

    prune.prune(DB, NOW)
    assert ids() == {root.pk, child.pk}
    Task.objects.filter(pk=child.pk).update(
        status=Status.COMPLETE, worker=None, finished=NOW
    )
    prune.prune(DB, NOW)

    assert ids() == set()


def test_row_76_what_is_deleted_by_the_orm_leaves_nothing_that_dangles() -> None:
    root = forced(Status.COMPLETE)
    child = forced(Status.COMPLETE, root)
    grandchild = forced(Status.COMPLETE, child)
    waits = forced(Status.PENDING, open_edges=1)
    after(grandchild, child, met=True)
    after(waits, grandchild)
    line(root, 1)
    line(grandchild, 2)

    Task.objects.filter(pk=root.pk).delete()

    assert ids() == {waits.pk}
    assert not TaskLog.objects.exists()
    # Who waited is told by the sweep, and its edge stays as the reason.
    sweep.resolve_forgotten(DB, NOW)
    assert fresh(waits).status == Status.INCOMPLETE
    assert "deleted" in fresh(waits).error
    waits.delete()
    assert not Edge.objects.exists()


def test_row_76_trees_larger_than_a_batch_go_in_batches_root_last() -> None:
    root = forced(Status.COMPLETE, result_ttl=0)
    saved([draft(Status.COMPLETE, root) for _ in range(25)])
    sizes: list[int] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if re.match(r"DELETE\b.*\bcq_tasks\b", sql):
            sizes.append(context["cursor"].rowcount)
            assert (root.pk in ids()) == (len(sizes) < 3)
        return result

    with connection.execute_wrapper(note):
        assert prune.prune(DB, NOW, limit=10) == 26

    assert sizes == [10, 10, 6]


def test_a_pass_removes_about_its_limit_the_oldest_first() -> None:
    rows = [
        draft(Status.COMPLETE, finished=BEFORE - timedelta(i), result_ttl=0)
        for i in range(7)
    ]
    saved(rows)

    assert prune.prune(DB, NOW, limit=3) == 3

    assert ids() == {t.pk for t in rows[:4]}


def test_one_time_to_live_does_not_starve_another() -> None:
    forced_many(10, Status.COMPLETE, result_ttl=1)
    slow = forced(Status.COMPLETE, result_ttl=600)

    prune.prune(DB, NOW, limit=3)

    assert slow.pk not in ids()


def test_a_batch_of_single_tasks_goes_in_a_few_statements() -> None:
    forced_many(statements.BATCH, Status.COMPLETE, result_ttl=0)

    with CaptureQueriesContext(connection) as queries:
        assert prune.prune(DB, NOW) == statements.BATCH

    assert not ids()
    # MariaDB locks what it deletes by a statement of its own for each table.
    most = 13 if connection.vendor == "mysql" else 11
    assert len(queries) <= most


def test_row_56_an_absurd_time_to_live_is_for_ever() -> None:
    task = forced(Status.COMPLETE, result_ttl=1e300)

    prune.prune(DB, NOW)

    assert ids() == {task.pk}


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_what_others_have_not_committed_is_not_waited_for() -> None:
    due = forced_many(20, Status.PENDING, run_after=BEFORE)
    kept = forced_many(200, Status.COMPLETE)
    old = forced_many(20, Status.COMPLETE, result_ttl=0)
    for rows in (kept, old):
        for one, other in zip(rows[::2], rows[1::2], strict=True):
            after(one, other, met=True)
            TaskLog.objects.create(root=one, task=one, number=1, level=20, time=NOW)
    holds, swept = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            open_ = forced(Status.PENDING, run_after=BEFORE)
            after(forced(Status.PENDING, open_edges=1), open_)
            TaskLog.objects.create(root=open_, task=open_, number=1, level=20, time=NOW)
            holds.set()
            assert swept.wait(60)

    holding = beside(hold)
    assert holds.wait(60)
    try:
        beside(lambda: sweep.sweep(DB, NOW)).result(30)
    finally:
        swept.set()
        holding.result(60)

    assert {status(task) for task in due} == {Status.QUEUED}
    assert not ids() & {task.pk for task in old}


def test_what_waits_for_others_is_read_once_when_its_time_has_come() -> None:
    before = forced(Status.QUEUED, name=sample_tasks.square.name)
    waits = forced(Status.PENDING, run_after=NOW - timedelta(minutes=1))
    after(waits, before)
    later = forced(Status.PENDING, run_after=NOW + timedelta(minutes=1))
    after(later, before)
    assert probe.urgent(DB, NOW).due

    assert sweep.due(DB, NOW) == 0

    assert not probe.urgent(DB, NOW).due
    assert (status(waits), fresh(waits).run_after) == (Status.PENDING, None)
    assert fresh(later).run_after is not None
    assert run(before, NOW).status == Status.COMPLETE
    assert (status(waits), status(later)) == (Status.QUEUED, Status.PENDING)


@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_what_is_still_to_come_is_not_read_to_find_what_is_due() -> None:
    forced_many(3000, Status.PENDING, run_after=timezone.now() + timedelta(days=1))
    analyze("cq_tasks")

    with CaptureQueriesContext(connection) as queries:
        assert lifecycle.queue_due(DB, 500) == []

    looks = [query["sql"] for query in queries if "LIMIT" in query["sql"]]
    assert len(looks) == 2
    for look in looks:
        by = plan(look)
        assert "cq_due" in by
        assert BOUNDED[connection.vendor] in by


#: How a plan says that the index is bounded, not read through.
BOUNDED = {"postgresql": "Index Cond", "mysql": ": range, "}
