"""The one look of an idle worker: it sees whatever there is to do, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from forced import AFTER, BEFORE, NOW, forced, forced_many
from laned import in_lane, lane_id
from plans import analyze, rows_read

from cq.maintenance import probe
from cq.maintenance.probe import Sweepable, Urgent
from cq.models import Edge, Lane, Worker
from cq.status import FINAL, FOR_THE_CLOCK, OPEN, Status
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


@pytest.mark.parametrize("status", sorted(FOR_THE_CLOCK))
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
        published=False,
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


# --- tasks with lanes -----------------------------------------------------------------


def test_newcomers_are_seen() -> None:
    in_lane(2, 1, listed=False)
    assert probe.urgent(DB, NOW) == seen(queued=True, newcomers=True)


def test_what_limits_hold_back_is_no_work() -> None:
    in_lane(2, 1)
    assert probe.urgent(DB, NOW) == seen(queued=True, lanes=True)
    Lane.objects.update(held_by="stripe")
    assert probe.urgent(DB, NOW) == seen(lanes=True)
    in_lane(1, 1, queue="other", listed=False)
    assert probe.urgent(DB, NOW) == seen(queued=True, lanes=True, newcomers=True)


def test_behind_what_is_held_back_other_work_is_seen() -> None:
    in_lane(2, 1, priority=7)
    in_lane(2, 2)
    Lane.objects.update(held_by="stripe")
    assert not probe.urgent(DB, NOW).queued
    forced(Status.QUEUED)
    assert probe.urgent(DB, NOW) == seen(queued=True, lanes=True)


@pytest.mark.backend("postgres")
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_of_thousands_that_are_held_back_a_few_rows_are_read(*, known: bool) -> None:
    with connection.cursor() as cursor:
        # What other tests took back is in the indexes still.
        cursor.execute("TRUNCATE cq_tasks, cq_lanes CASCADE")
    forced_many(20, Status.COMPLETE)
    analyze("cq_tasks", "cq_lanes")
    tasks = in_lane(3_000, 1)
    Lane.objects.bulk_create(
        Lane(
            queue="default",
            priority=0,
            lane=lane_id(n),
            name="held",
            options={},
            head=task.pk,
            held_by="stripe",
        )
        for n, task in enumerate(tasks, 2)
    )
    Lane.objects.filter(lane=lane_id(1)).update(held_by="stripe")
    if known:
        analyze("cq_tasks", "cq_lanes")
    before = rows_read("cq_tasks", "cq_lanes")
    assert probe.urgent(DB) == seen(lanes=True)
    assert rows_read("cq_tasks", "cq_lanes") - before <= 50
