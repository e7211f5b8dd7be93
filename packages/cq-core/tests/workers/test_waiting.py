"""The pairs and lanes under which anything is QUEUED, whether or not it may start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from forced import forced, forced_many
from laned import in_lane, lane_id
from plans import analyze, plan, reads_all, rows_read, sorts

from cq.models import Lane
from cq.status import Status
from cq.workers.ready_pairs import first_of_each
from cq.workers.waiting import lanes
from cq.workers.waiting.lanes import oldest_lanes, waiting_lanes
from cq.workers.waiting.pairs import WaitingPair, waiting_pairs

if TYPE_CHECKING:
    from cq.models import Task

pytestmark = pytest.mark.django_db

DB = "default"


def pair(task: Task, *, plain: bool, has_lanes: bool) -> WaitingPair:
    first = task.pk if plain else None
    return WaitingPair(task.queue, task.priority, first, has_lanes)


def test_each_pair_says_what_it_has() -> None:
    assert waiting_pairs(DB) == []
    forced(Status.COMPLETE, queue="done")
    laned = in_lane(2, 1, queue="a", priority=5)[0]
    new = in_lane(2, 1, queue="b", priority=5, listed=False)[0]
    plain = forced_many(2, Status.QUEUED, queue="c", priority=5)[0]
    both = forced_many(2, Status.QUEUED, queue="a", priority=-5)[0]
    in_lane(1, 2, queue="a", priority=-5)
    low = in_lane(1, 3, queue="a", priority=-9)[0]
    found = [
        pair(plain, plain=True, has_lanes=False),
        pair(laned, plain=False, has_lanes=True),
        pair(new, plain=False, has_lanes=True),
        pair(both, plain=True, has_lanes=True),
        pair(low, plain=False, has_lanes=True),
    ]
    assert waiting_pairs(DB) == found
    assert waiting_pairs(DB, ["b", "none", "b"]) == [found[2]]
    assert waiting_pairs(DB, []) == []


def test_of_those_without_lanes_it_says_what_claims_go_by() -> None:
    for queue in ("b", "a"):
        for priority in (0, 7, -7):
            forced_many(2, Status.QUEUED, queue=queue, priority=priority)
    in_lane(3, 1, queue="b", priority=3)
    found = [
        ((pair.queue, pair.priority), pair.first)
        for pair in waiting_pairs(DB)
        if pair.first is not None
    ]
    assert found == first_of_each(DB, None, None)


@pytest.mark.backend("postgres")
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_thousands_of_a_lane_are_passed_over(*, known: bool) -> None:
    with connection.cursor() as cursor:
        # What other tests took back is in the indexes still.
        cursor.execute("TRUNCATE cq_tasks, cq_lanes CASCADE")
    forced_many(20, Status.COMPLETE)
    analyze("cq_tasks")
    in_lane(3_000, 1, priority=3)
    in_lane(3_000, 2)
    plain = forced(Status.QUEUED)
    if known:
        analyze("cq_tasks")
    before = rows_read()
    assert waiting_pairs(DB)[1] == pair(plain, plain=True, has_lanes=True)
    # Some are read by the planner, to see where an index ends.
    assert rows_read() - before <= 100


@pytest.mark.backend("sqlite", "mariadb")
def test_each_statement_takes_the_index_of_what_is_ready() -> None:
    forced_many(2_000, Status.COMPLETE)
    in_lane(20, 1)
    forced_many(20, Status.QUEUED, queue="b")
    forced_many(20, Status.QUEUED, queue="b", priority=3)
    analyze("cq_tasks")
    with CaptureQueriesContext(connection) as sent:
        assert len(waiting_pairs(DB)) == 3
        assert len(waiting_pairs(DB, ["b"])) == 2
    for query in sent:
        found = plan(query["sql"].replace("%", "%%"))
        assert "cq_ready" in found
        assert not reads_all(found), found
        if connection.vendor == "mysql":
            assert not sorts(query["sql"].replace("%", "%%")), query["sql"]


# --- lanes ----------------------------------------------------------------------------


def test_lanes_are_those_with_a_row_and_those_of_newcomers() -> None:
    assert waiting_lanes(DB, 4) == []
    in_lane(2, 1)
    in_lane(2, 1, queue="b", priority=3)
    in_lane(2, 3, listed=False)
    assert waiting_lanes(DB, 3) == [
        ("b", 3, lane_id(1)),
        ("default", 0, lane_id(1)),
        ("default", 0, lane_id(3)),
    ]
    assert waiting_lanes(DB, 2) is None


def test_of_more_newcomers_than_are_looked_at_not_all_lanes_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "MOST_NEWCOMERS", 3)
    in_lane(2, 1, listed=False)
    assert waiting_lanes(DB, 9) == [("default", 0, lane_id(1))]
    in_lane(2, 2, listed=False)
    assert waiting_lanes(DB, 9) is None


def test_the_oldest_lanes_are_those_whose_first_task_is() -> None:
    for number in (5, 1, 4, 2):
        in_lane(1, number)
    in_lane(1, 9, queue="b")
    in_lane(1, 3, listed=False)
    in_lane(1, 6, listed=False)
    in_lane(1, 7, queue="other")
    found = oldest_lanes(DB, ["default", "b"], 2)
    assert [(queue, lane) for queue, _, lane in found[:3]] == [
        ("default", lane_id(5)),
        ("default", lane_id(1)),
        ("b", lane_id(9)),
    ]
    # As many of newcomers.
    assert {lane for _, _, lane in found[3:]} == {lane_id(3), lane_id(6)}
    assert len(oldest_lanes(DB, ["default"], 1)) == 2
    assert Lane.objects.count() == 6
