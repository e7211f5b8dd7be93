"""Withdrawing a task with everything below it and after it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from forced import (
    NOW,
    after,
    draft,
    forced,
    forced_many,
    held,
    row,
    saved,
    status,
)
from racing import race, rounds

from cq import lifecycle
from cq.models import Edge, Task
from cq.status import FINAL, OPEN, Status
from cq.workflow import advance, revocation

DB = "default"


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def revoke(task: Task) -> bool:
    return revocation.revoke(DB, task.pk, now=NOW)


@pytest.mark.django_db
@pytest.mark.parametrize("source", sorted(OPEN))
def test_an_open_task_is_revoked_at_once_with_the_fence_raised(source: Status) -> None:
    task = forced(source, fence=4, unique_key="k")

    assert revoke(task)

    found = row(task)
    assert (found["status"], found["fence"]) == (Status.REVOKED, 5)
    assert (found["worker_id"], found["unique_key"]) == (None, None)
    assert (found["finished"], found["error"]) == (NOW, "It was revoked.")


@pytest.mark.django_db
@pytest.mark.parametrize("source", sorted(FINAL))
def test_a_settled_task_cannot_be_revoked(source: Status) -> None:
    task = forced(source)
    before = row(task)

    assert not revoke(task)

    assert row(task) == before


@pytest.mark.django_db
def test_row_69_what_is_open_below_goes_too_and_what_has_settled_stays() -> None:
    above = forced(Status.WAITING, open_children=2)
    sibling = forced(Status.QUEUED, above)
    task = forced(Status.WAITING, above, open_children=2)
    done = forced(Status.COMPLETE, task)
    below_done = forced(Status.QUEUED, done, counted=False)
    running = forced(Status.RUNNING, task)
    below = forced(Status.RETRY, running)

    revoke(task)

    assert status(done) == Status.COMPLETE
    assert {status(t) for t in (running, below, below_done)} == {Status.REVOKED}
    assert row(below)["error"] == f"Task {task.pk} was revoked."
    assert (status(above), status(sibling)) == (Status.WAITING, Status.QUEUED)
    assert f"{task.pk} is REVOKED" in row(above)["error"]
    assert row(above)["open_children"] == 1


@pytest.mark.django_db
def test_row_71_dependants_follow_as_when_any_predecessor_fails() -> None:
    task = forced(Status.RUNNING)
    inside = forced(Status.QUEUED, task)
    chained, further = forced_many(2, Status.PENDING, open_edges=1)
    after(chained, task)
    after(further, chained)
    of_inside, errorback = forced_many(2, Status.PENDING, open_edges=1)
    after(of_inside, inside)
    after(errorback, task, when="failed")

    revoke(task)

    assert {status(t) for t in (chained, further, of_inside)} == {Status.INCOMPLETE}
    assert "is REVOKED: It was revoked." in row(chained)["error"]
    assert status(errorback) == Status.QUEUED


@pytest.mark.django_db
def test_the_last_open_child_that_is_revoked_settles_its_parent() -> None:
    parent = forced(Status.WAITING, open_children=1)
    child = forced(Status.QUEUED, parent)

    revoke(child)

    assert status(parent) == Status.INCOMPLETE


def tree(levels: int, width: int) -> list[Task]:
    """A root with `levels` of tasks below it, each with `width` subtasks."""
    rows = level = [draft(Status.WAITING, open_children=width)]
    for depth in range(levels):
        last = depth == levels - 1
        wanted = Status.QUEUED if last else Status.WAITING
        count = 0 if last else width
        level = [
            draft(wanted, parent, open_children=count)
            for parent in level
            for _ in range(width)
        ]
        rows = rows + level
    return saved(rows)


@pytest.mark.django_db
def test_row_69_a_tree_of_ten_thousand_takes_a_bounded_number_of_queries() -> None:
    # 22 subtasks of each of 22 of each of 22: 11,155 tasks, 507 of them parents.
    rows = tree(3, 22)
    edges = [
        # Every other leaf has one after it, inside the tree and outside.
        Edge(task=t, depends_on=leaf, when="complete")
        for leaf, t in zip(
            rows[-5000:], forced_many(5000, Status.PENDING, open_edges=1), strict=True
        )
    ]
    Edge.objects.bulk_create(edges, batch_size=500)

    with CaptureQueriesContext(connection) as queries:
        assert revoke(rows[0])

    found = dict(
        Task.objects.values_list("status")
        .order_by()
        .distinct()
        .values_list("status", "status")
    )
    assert set(found) == {Status.REVOKED, Status.INCOMPLETE}
    assert Task.objects.filter(status=Status.REVOKED).count() == len(rows)
    assert Task.objects.filter(status=Status.INCOMPLETE).count() == 5000
    # Some per thousand rows, none per row.
    assert len(queries) < 20 * len(rows) / 1000


@pytest.mark.django_db
def test_row_64_a_deep_tree_is_revoked_without_recursion() -> None:
    rows = [draft(Status.WAITING, open_children=1)]
    for _ in range(1500):
        rows.append(draft(Status.WAITING, rows[-1], open_children=1))
    saved(rows)

    revoke(rows[0])

    assert set(Task.objects.values_list("status", flat=True)) == {Status.REVOKED}


@pytest.mark.django_db
def test_row_65_a_circle_forced_by_hand_ends() -> None:
    one, other = forced_many(2, Status.WAITING)
    Task.objects.filter(pk=one.pk).update(parent=other.pk)
    Task.objects.filter(pk=other.pk).update(parent=one.pk)

    assert revoke(one)

    assert (status(one), status(other)) == (Status.REVOKED, Status.REVOKED)


@pytest.mark.django_db
def test_several_are_revoked_and_counted() -> None:
    tasks = [*forced_many(2, Status.QUEUED), forced(Status.COMPLETE)]

    assert revocation.revoke_many(DB, [t.pk for t in tasks]) == 2


@pytest.mark.django_db(transaction=True)
def test_row_75_a_revocation_that_races_a_completion_leaves_one_end() -> None:
    count = rounds(60)
    tasks = forced_many(count, Status.RUNNING)
    followers = forced_many(count, Status.PENDING, open_edges=1)
    Edge.objects.bulk_create(
        Edge(task=f, depends_on=t, when="complete")
        for f, t in zip(followers, tasks, strict=True)
    )

    def complete(task: Task) -> bool:
        won = lifecycle.complete(DB, held(task), "1") is not None
        if won:
            advance.after_settled(DB, [task.pk])
        return won

    revoked, completed = race(tasks, revoke, complete)

    assert [a + b for a, b in zip(revoked, completed, strict=True)] == [1] * count
    for task, follower, won in zip(tasks, followers, completed, strict=True):
        assert status(task) == (Status.COMPLETE if won else Status.REVOKED)
        assert status(follower) == (Status.QUEUED if won else Status.INCOMPLETE)
        assert row(task)["fence"] == (1 if won else 2)
        assert row(task)["result"] == ("1" if won else None)
