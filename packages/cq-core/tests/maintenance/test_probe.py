"""The one look of an idle worker: it sees whatever there is to do, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from forced import AFTER, BEFORE, NOW, forced, forced_many

from cq.maintenance import probe
from cq.maintenance.probe import Sweepable, Urgent
from cq.models import Edge, Worker
from cq.status import FINAL, OPEN, Status
from cq.workers.session_locks import can_lock

pytestmark = pytest.mark.django_db

DB = "default"
NONE = Urgent(due=False, queued=False, unlocked=False)


def seen(**found: bool) -> Urgent:
    return NONE._replace(**found)


def test_where_nothing_is_to_be_done_it_says_so_in_one_statement() -> None:
    for status in sorted(FINAL):
        forced(status)
    with CaptureQueriesContext(connection) as captured:
        assert probe.urgent(DB, NOW) == NONE
    assert len(captured) == 1


@pytest.mark.parametrize("status", [Status.PENDING, Status.RETRY])
def test_it_sees_what_has_come_to_its_time(status: Status) -> None:
    forced(status, run_after=AFTER)
    assert probe.urgent(DB, NOW) == NONE
    forced(status, run_after=BEFORE)
    assert probe.urgent(DB, NOW) == seen(due=True)


@pytest.mark.parametrize(
    ("status", "sight"),
    [
        (Status.PENDING, seen(due=True)),
        (Status.QUEUED, seen(due=True, queued=True)),
        (Status.RUNNING, NONE),
    ],
)
def test_it_sees_what_was_not_started_in_time(status: Status, sight: Urgent) -> None:
    forced(status, expires=BEFORE)
    assert probe.urgent(DB, NOW) == sight


def test_it_sees_what_is_queued_whether_or_not_anybody_rang() -> None:
    forced(Status.QUEUED)
    assert probe.urgent(DB, NOW) == seen(queued=True)


@pytest.mark.parametrize("locked", [True, False])
def test_it_sees_a_worker_whose_lock_nobody_holds(*, locked: bool) -> None:
    values: dict[str, Any] = {"host": "h", "pid": 1, "started": NOW, "last_seen": NOW}
    Worker.objects.create(id=5, kind="worker", locked=locked, **values)
    assert probe.urgent(DB, NOW) == seen(unlocked=locked and can_lock(DB))


@pytest.mark.parametrize("status", sorted(OPEN))
def test_it_sees_where_a_sweep_may_find_something(status: Status) -> None:
    assert not any(probe.sweepable(DB))
    task = forced(status, **({"run_after": AFTER} if status == Status.RETRY else {}))
    assert probe.sweepable(DB) == Sweepable(
        claimed=status == Status.RUNNING,
        waiting=status == Status.WAITING,
        pending=status == Status.PENDING,
        edges=False,
        limits=False,
    )
    Edge.objects.create(task=forced(Status.COMPLETE), depends_on=task)
    assert probe.sweepable(DB).edges


@pytest.mark.backend("postgres")
def test_row_43_it_reads_no_row_of_what_has_finished() -> None:
    forced_many(2000, Status.COMPLETE)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE cq_tasks")
    for look in (lambda: probe.urgent(DB), lambda: probe.sweepable(DB)):
        with CaptureQueriesContext(connection) as captured:
            look()
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {captured[0]['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Seq Scan on cq_tasks" not in plan, plan
