"""Pruning of tasks that have many steps: so many rows in a transaction."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from forced import NOW, forced, forced_many

from cq.maintenance import prune, removal
from cq.models import Step, Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"


@pytest.fixture(autouse=True)
def _first_time(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    prune._come_to.clear()


def old(parent: Task | None = None) -> Task:
    return forced(Status.COMPLETE, parent, result_ttl=0)


@pytest.mark.parametrize("tree", [False, True])
def test_steps_go_in_transactions_of_so_many_rows(
    monkeypatch: pytest.MonkeyPatch, tree: bool
) -> None:
    monkeypatch.setattr(removal, "MOST_ROWS", 10)
    root = old() if tree else None
    made = [old(root) for _ in range(30)]
    rows = [3, 25, 0, 7, 1, 10] * 5
    Step.objects.bulk_create(
        Step(task=task, kind="call", name="a", number=n, fence=1, started=NOW)
        for task, count in zip(made, rows, strict=True)
        for n in range(count)
    )
    deleted: list[int] = []
    real = removal.internals.delete_rows

    def delete_rows(some: Any) -> int:
        count: int = real(some)
        if some.model is Step:
            deleted.append(count)
        return count

    monkeypatch.setattr(removal.internals, "delete_rows", delete_rows)
    assert prune.prune(DB, NOW) == 30 + tree
    assert not Step.objects.exists()
    assert (sum(deleted), max(deleted)) == (sum(rows), 25)
    assert all(count <= 10 or count == 25 for count in deleted)


def test_where_few_have_steps_a_batch_goes_in_a_few_statements() -> None:
    forced_many(500, Status.COMPLETE, result_ttl=0)
    tasks = Task.objects.all()[::7]
    Step.objects.bulk_create(
        Step(task=task, kind="call", name="a", fence=1, started=NOW) for task in tasks
    )
    with CaptureQueriesContext(connection) as queries:
        assert prune.prune(DB, NOW) == 500
    assert len(queries) <= 26
    assert not Step.objects.exists()
