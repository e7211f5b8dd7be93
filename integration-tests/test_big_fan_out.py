"""Ten thousand children under one parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.db.models import Count
from floor import tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq import WaitTimeout
from cq.models import Edge, Task
from cq.testing import run_tasks

if TYPE_CHECKING:
    from processes import Workers

CHILDREN = 10_000


def wait_as_long_as_it_goes_on(parent: Task) -> None:
    def ended() -> int:
        return parent.subtasks.filter(finished__isnull=False).count()

    before = -1
    while not parent.done:
        try:
            parent.wait(PATIENCE)
        except WaitTimeout:
            now = ended()
            assert now > before, f"{now} of {CHILDREN} have ended, and no more come"
            before = now


def test_row_66_ten_thousand_children_settle_their_parent_once(
    workers: Workers,
) -> None:
    with transaction.atomic():
        parent = tasks.children.delay(CHILDREN)
        parent.chain(tasks.notes, 1)
        parent.chain(tasks.notes, 2, when="settled")
        parent.errorback(tasks.notes, 3)
    # Two, so that children settle beside each other.
    workers.start()
    workers.start()
    wait_as_long_as_it_goes_on(parent)
    after = Task.objects.filter(previous=parent, finished__isnull=False)
    until(lambda: after.count() == 3, "the end of what comes after")

    by_status = Task.objects.order_by("status").values_list("status")
    assert list(by_status.annotate(Count("pk"))) == [
        ("COMPLETE", CHILDREN + 3),
        ("SKIPPED", 1),
    ]
    assert sorted(Effect.objects.values_list("key", flat=True)) == [1, 2]
    assert not Edge.objects.filter(met=None).exists()
    runs = Task.objects.exclude(status="SKIPPED").values_list("attempts", "losses")
    assert set(runs) == {(1, 0)}
    # Nobody has touched it after it had settled, which was after the last child.
    settled = parent.finished
    parent.refresh_from_db()
    assert (parent.fence, parent.open_children, parent.finished) == (1, 0, settled)
    assert settled is not None
    assert settled >= max(parent.subtasks.values_list("finished", flat=True))


def rows_of_statements(children: int) -> list[int]:
    """Run a parent with so many children; how many rows each statement was about."""
    tasks.children.delay(children)
    rows: list[int] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        rows.append(context["cursor"].rowcount)
        return result

    with connection.execute_wrapper(note):
        run_tasks()
    assert not Task.objects.exclude(status="COMPLETE").exists()
    return rows


@pytest.mark.django_db(transaction=True)
def test_row_66_a_child_costs_the_same_statements_whatever_their_number() -> None:
    """From the call that makes it to the end of its parent."""
    rows_of_statements(1)
    few, more, many = map(rows_of_statements, (20, 40, 240))
    assert len(many) - len(more) == 10 * (len(more) - len(few)) > 0
    # One is of `run_tasks`, which returns all that it ran; one is the INSERT of all
    # children. (SQLite does not count.)
    assert sum(n > 2 for n in many) <= 2
