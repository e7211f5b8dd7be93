"""The names of what waits in a queue."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from forced import forced, forced_many
from laned import in_lane, into_lane
from plans import analyze, plan, reads_all, rows_read

from cq.metrics import waiting_names as module
from cq.metrics.waiting_names import waiting_names
from cq.status import Status

pytestmark = pytest.mark.django_db

DB = "default"


def test_the_most_come_first_and_nothing_else_is_counted() -> None:
    forced_many(2, Status.QUEUED, queue="a", name="few")
    forced_many(3, Status.QUEUED, queue="a", name="many")
    forced(Status.QUEUED, queue="b", name="other", priority=7)
    forced(Status.COMPLETE, queue="a", name="done")
    forced(Status.PENDING, queue="a", name="later")
    assert waiting_names(DB, ["a", "b", "none"]) == {
        "a": [("many", 3), ("few", 2)],
        "b": [("other", 1)],
    }
    assert waiting_names(DB, ["b"]) == {"b": [("other", 1)]}
    assert waiting_names(DB, []) == {}


def test_of_very_many_those_are_looked_at_that_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 4)
    forced_many(9, Status.QUEUED, queue="a", name="late")
    forced_many(2, Status.QUEUED, queue="a", name="first", priority=5)
    forced_many(9, Status.QUEUED, queue="b")
    found = waiting_names(DB, ["a", "b"])
    assert found["a"] == [("first", 2)]
    assert found["b"] == [("sample_tasks.square", 2)]


def test_it_is_one_statement_by_an_index() -> None:
    forced_many(400, Status.COMPLETE)
    forced_many(20, Status.QUEUED, queue="a")
    analyze("cq_tasks")
    sent: list[Any] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert waiting_names(DB, ["a", "b"])
    assert len(sent) == 1
    found = plan(*sent[0])
    assert "cq_ready" in found
    assert not reads_all(found)


# --- tasks with lanes -----------------------------------------------------------------


@pytest.mark.parametrize("listed", [True, False])
def test_a_queue_of_tasks_with_lanes_alone_has_names(*, listed: bool) -> None:
    into_lane(forced_many(2, Status.QUEUED, queue="a", name="one"), 1, listed=listed)
    into_lane(forced_many(3, Status.QUEUED, queue="a", name="two"), 2, listed=listed)
    assert waiting_names(DB, ["a"]) == {"a": [("two", 3), ("one", 2)]}


def test_one_lane_does_not_hide_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 12)
    into_lane(forced_many(30, Status.QUEUED, queue="a", name="held", priority=5))
    into_lane(forced_many(30, Status.QUEUED, queue="a", name="held"))
    forced_many(2, Status.QUEUED, queue="a", name="plain")
    forced_many(30, Status.QUEUED, queue="b", name="plain")
    found = waiting_names(DB, ["a", "b"])
    assert found == {"a": [("held", 4), ("plain", 2)], "b": [("plain", 6)]}


@pytest.mark.backend("postgres")
def test_thousands_of_one_lane_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 100)
    in_lane(3_000, queue="a", name="held")
    forced(Status.QUEUED, queue="a", name="plain", priority=-1)
    analyze("cq_tasks")
    before = rows_read()
    assert waiting_names(DB, ["a"]) == {"a": [("held", 50), ("plain", 1)]}
    assert rows_read() - before < 300
