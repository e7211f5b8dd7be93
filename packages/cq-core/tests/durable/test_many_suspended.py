"""Many that are suspended: all that are due run, and those that are not cost no look."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from driving import WORKER
from forced import AFTER, BEFORE, NOW, draft, saved
from plans import analyze, plan, reads_all, rows_read

from cq import codec, lifecycle, task
from cq.durable.names import digest_of_texts
from cq.execution import sync_runner
from cq.maintenance import sweep
from cq.maintenance.invariants import CHECKS
from cq.models import Attempt, Message, Step, Task
from cq.status import Status
from cq.workers.claim_order import claim_next

DB = "default"
#: More than what is moved at once.
MANY = 2000
woke: Counter[int] = Counter()


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    woke.clear()


@task(durable=True)
def sleeps(cqt: Any, number: int) -> None:
    cqt.sleep("long", hours=1)
    woke[number] += 1


def suspended(count: int, kind: str, **values: Any) -> list[Task]:
    """Tasks that a run has left SUSPENDED, each with what it waits for."""
    values = {"started": BEFORE, "first_started": BEFORE} | values
    rows = [
        draft(
            Status.SUSPENDED,
            name=sleeps.name,
            args=codec.Encoded(f"[{number}]"),
            attempts=1,
            fence=1,
            **values,
        )
        for number in range(count)
    ]
    saved(rows)
    steps = [
        Step(
            task_id=row.pk,
            kind=kind,
            name="long",
            number=1,
            digest=digest_of_texts([]),
            fence=1,
            started=BEFORE,
            finished=row.run_after if kind == Step.SLEEP else None,
        )
        for row in rows
    ]
    Step.objects.bulk_create(steps, batch_size=500)
    return rows


@pytest.mark.backend("sqlite", "postgres")
@pytest.mark.django_db(transaction=True)
def test_all_that_are_due_at_one_moment_run_and_none_is_lost() -> None:
    suspended(MANY, Step.SLEEP, run_after=datetime(2026, 1, 1, tzinfo=UTC))

    while sweep.due(DB):
        pass
    while some := lifecycle.claim(DB, WORKER, "name = %s", [sleeps.name], 100):
        for row in some:
            sync_runner.execute(row)

    assert woke == dict.fromkeys(range(MANY), 1)
    ends = Task.objects.values_list("status", "attempts", "losses")
    assert set(ends) == {(Status.COMPLETE, 1, 0)}
    assert not Attempt.objects.exists()
    for check in CHECKS:
        assert not check.found(DB, None).exists(), check.what


@pytest.mark.django_db
def test_of_many_that_wait_only_the_one_that_has_got_something_is_looked_at() -> None:
    *_, got = suspended(600, Step.WAIT)
    suspended(600, Step.SLEEP, run_after=AFTER)
    Message.objects.create(task_id=got.pk, name="long", sent=BEFORE)
    analyze("cq_tasks", "cq_steps", "cq_messages")
    statements: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.match(r"\s*(SELECT|WITH|UPDATE)\b", sql) and "cq_" in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    before = rows_read("cq_tasks", "cq_steps")
    with connection.execute_wrapper(note):
        assert sweep.due(DB, NOW) == 0
        assert claim_next(DB, 77, 10, cursors={}) == []
        assert sweep.wake_forgotten(DB) == 1
    assert rows_read("cq_tasks", "cq_steps") - before < 100
    for sql, params in statements:
        assert not re.search("cq_(tasks|steps)", sql) or not reads_all(
            re.sub(r"(SCAN|Seq Scan on) cq_(?!tasks|steps)\w+", "", plan(sql, params))
        ), sql
    assert [row.pk for row in Task.objects.filter(status="QUEUED")] == [got.pk]
