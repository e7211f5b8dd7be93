"""What a reading says of tasks with lanes, and what it costs beside them."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from forced import BEFORE, NOW, draft, forced, forced_many, saved
from laned import in_lane, into_lane, lane_id
from plans import analyze, plan, reads_all, rows_read, sorts

from cq.live.whole import Whole, read_whole
from cq.metrics import depths, lanes, read
from cq.metrics.lanes import Asked, oldest_of_lanes
from cq.metrics.queued import Queued, oldest_ready, queued
from cq.models import Lane
from cq.status import Status
from cq.workers.lease import Lease
from cq.workers.waiting import lanes as waiting_lanes

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

pytestmark = pytest.mark.django_db

DB = "default"
#: More than are read of anything.
MANY = 12_000


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize("listed", [True, False])
def test_a_queue_of_tasks_with_lanes_alone_is_there(*, listed: bool) -> None:
    made = {"queue": "mail", "priority": 3}
    into_lane(
        forced_many(2, Status.QUEUED, submitted=ago(70), **made), 1, listed=listed
    )
    into_lane(
        forced_many(1, Status.QUEUED, submitted=ago(90), **made), 2, listed=listed
    )
    forced(Status.QUEUED, submitted=ago(5))
    assert queued(DB) == {
        "mail": Queued(3, ago(90), capped=False),
        "default": Queued(1, ago(5), capped=False),
    }
    assert oldest_ready(DB) == ago(90)
    assert oldest_ready(DB, without=["mail"]) == ago(5)


def test_of_a_pair_with_both_the_older_counts() -> None:
    into_lane(forced_many(2, Status.QUEUED, submitted=ago(30)))
    forced(Status.QUEUED, submitted=ago(60))
    assert queued(DB)["default"] == Queued(3, ago(60), capped=False)
    into_lane(forced_many(1, Status.QUEUED, submitted=ago(90)), 2)
    assert queued(DB)["default"] == Queued(4, ago(90), capped=False)


def test_names_that_are_left_out_are_so_in_a_lane() -> None:
    into_lane(forced_many(1, Status.QUEUED, name="paused", submitted=ago(90)))
    into_lane(forced_many(1, Status.QUEUED, submitted=ago(50)), 2)
    assert oldest_ready(DB, without_tasks=["paused"]) == ago(50)


def test_behind_a_first_that_was_tried_again_the_others_are_seen() -> None:
    again = forced_many(3, Status.QUEUED, submitted=ago(900), ready=ago(1))
    into_lane([*again, forced(Status.QUEUED, submitted=ago(60))])
    assert queued(DB)["default"].ready == ago(60)


def test_a_first_task_that_has_gone_since_does_no_harm() -> None:
    gone, left = forced_many(2, Status.QUEUED, submitted=ago(60))
    into_lane([gone, left])
    gone.delete()
    assert queued(DB)["default"] == Queued(1, ago(60), capped=False)


def test_a_lane_that_is_empty_does_no_harm() -> None:
    into_lane(forced_many(1, Status.QUEUED, submitted=ago(60)))
    lane = Lane.objects.get()
    lane.pk, lane.lane, lane.head = None, forced(Status.COMPLETE).pk, lane.lane
    lane.save()
    assert queued(DB)["default"] == Queued(1, ago(60), capped=False)


def test_of_many_lanes_those_are_asked_that_have_waited_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "MOST_LANES", 4)
    for queue, wait in (("a", 90), ("b", 80)):
        # Before all others in the order of the lanes, or behind them.
        oldest = forced(Status.QUEUED, queue=queue, submitted=ago(wait))
        for number in range(6):
            later = forced(Status.QUEUED, queue=queue, submitted=ago(10))
            into_lane([later], 10 + number)
        into_lane([oldest], 5 if queue == "a" else 50)
    found = queued(DB)
    assert (found["a"].ready, found["b"].ready) == (ago(90), ago(80))


def test_lanes_of_very_many_queues_are_asked_by_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting_lanes, "QUEUES_AT_ONCE", 2)
    monkeypatch.setattr(lanes, "LANES_AT_ONCE", 2)
    monkeypatch.setattr(lanes, "MOST_LANES", 1)
    for number in range(5):
        made = forced_many(1, Status.QUEUED, queue=f"q{number}", submitted=ago(number))
        into_lane(made, number + 1)
    found = queued(DB)
    assert [found[f"q{n}"].ready for n in range(5)] == [ago(n) for n in range(5)]


@pytest.mark.backend("sqlite", "postgres")
def test_lanes_are_three_statements_more_however_many_there_are() -> None:
    forced(Status.QUEUED)
    for number in range(40):
        made = forced_many(2, Status.QUEUED, queue=f"q{number % 4}")
        into_lane(made, number + 1, listed=number % 2 > 0)
    with CaptureQueriesContext(connection) as sent:
        read(now=NOW)
    # The lanes with a row, those of newcomers, and the first tasks of all.
    assert len(sent) == 8


# --- the cost -------------------------------------------------------------------------


def empty(known: bool) -> None:
    """Begin with tables in which there is nothing, or next to nothing."""
    with connection.cursor() as cursor:
        # What other tests took back is in the indexes still.
        cursor.execute("TRUNCATE cq_tasks, cq_lanes CASCADE")
    if not known:
        # The planner believes that this is all.
        forced_many(20, Status.COMPLETE)
        for number in range(20):
            in_lane(1, MANY + number, queue="other")
        analyze("cq_tasks", "cq_lanes")


def a_long_lane(known: bool) -> None:
    empty(known)
    in_lane(MANY, 1, submitted=ago(30))
    in_lane(MANY, 2, listed=False, submitted=ago(30))
    forced(Status.QUEUED, submitted=ago(60), priority=-4)
    if known:
        analyze("cq_tasks", "cq_lanes")


@pytest.mark.backend("postgres")
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_of_a_long_lane_no_more_is_read_than_is_asked(*, known: bool) -> None:
    a_long_lane(known)
    with CaptureQueriesContext(connection) as sent:
        queued(DB, (500, 9_000))
    before = rows_read()
    found = queued(DB, (500, 9_000))
    # 500 are counted, 10,000 of both lanes asked, and a thousand newcomers.
    assert rows_read() - before <= 500 + 10_000 + 1_000 + 100
    assert found["default"] == Queued(500, ago(60), capped=True)
    for query in sent:
        # Of lanes there is one.
        found_by = plan(query["sql"]).replace("Seq Scan on cq_lanes", "")
        assert not reads_all(found_by), found_by


@pytest.mark.backend("postgres")
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_of_many_lanes_no_more_is_read_than_is_asked(*, known: bool) -> None:
    empty(known)
    in_lane(1, MANY)
    saved(
        [
            draft(Status.QUEUED, submitted=ago(30), lane=lane_id(n), listed=True)
            for n in range(1, MANY)
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cq_lanes (queue, priority, lane, name, options, fair, head) "
            "SELECT queue, priority, lane, name, '{}', '', id FROM cq_tasks "
            "WHERE submitted = %s",
            [ago(30)],
        )
    if known:
        analyze("cq_tasks", "cq_lanes")
    before = rows_read("cq_tasks", "cq_lanes")
    assert oldest_of_lanes(DB, ["default"], Asked()) == {"default": BEFORE}
    # A hundred lanes, and the first of each.
    assert rows_read("cq_tasks", "cq_lanes") - before <= 500
    [listed] = [
        query["sql"]
        for query in asked_of_lanes(lambda: oldest_of_lanes(DB, ["default"], Asked()))
    ]
    found = plan(listed)
    assert "cq_lane_oldest" in found, found
    assert not reads_all(found), found


def asked_of_lanes(call: Callable[[], Any]) -> list[dict[str, str]]:
    with CaptureQueriesContext(connection) as sent:
        call()
    return [query for query in sent if "cq_lanes" in query["sql"]]


@pytest.mark.backend("sqlite", "mariadb")
def test_each_statement_takes_an_index() -> None:
    forced_many(2000, Status.COMPLETE)
    in_lane(300, 1)
    in_lane(300, 2, listed=False)
    forced_many(5, Status.QUEUED, priority=-4)
    analyze("cq_tasks", "cq_lanes")
    sent: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert queued(DB)["default"].tasks == 605
    for sql, params in sent:
        assert not reads_all(plan(sql, params)), sql
        # Of lanes there is one.
        if connection.vendor == "mysql" and "cq_lanes" not in sql:
            assert not sorts(sql, params), sql


# --- whoever asks ---------------------------------------------------------------------


def test_a_minute_has_the_depth_of_a_queue_of_tasks_with_lanes() -> None:
    in_lane(3, 1, queue="held", submitted=ago(90))
    total, queues = depths.measured(DB, NOW)
    assert (queues["held"].waiting, queues["held"].oldest) == (3, ago(90))
    assert (total.waiting, total.oldest) == (3, ago(90))
    assert read_whole(DB, Whole.OVERVIEW).numbers["waiting"] == 3


def test_health_fails_when_a_task_with_a_lane_has_been_queued_for_too_long() -> None:
    lease = Lease(DB, "worker")
    lease.register()
    try:
        in_lane(1, 1, submitted=timezone.now() - timedelta(minutes=5), listed=False)
        with pytest.raises(CommandError, match=r"longer than --queue-age 60"):
            call_command("cq", "health", "--queue-age", "60", stdout=StringIO())
        call_command("cq", "health", "--queue-age", "600", stdout=StringIO())
    finally:
        lease.close()
