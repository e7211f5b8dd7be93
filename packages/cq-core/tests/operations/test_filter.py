"""Filters as plain JSON: what they take, what they find, and what they refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import sample_tasks  # noqa: F401  (forced rows name them)
from forced import WORKER, forced

from cq.ids import first_of, uuid7
from cq.models import Task
from cq.operations.filter import MOST_IDS, TaskFilter
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

ID = "0199a5f000007000800000000000abcd"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"status": ["FAILURE", "LOST"]},
        {"status": []},
        {"name": ["shop.charge", "a,b"], "queue": ["mail"]},
        {"since": "2026-07-01T06:00:00+00:00", "until": "2026-07-02T06:00:00+02:00"},
        {"ids": [ID]},
        {"root": ID, "parent": ID, "worker": [0, 7], "level": "below"},
    ],
)
def test_what_is_read_is_written_as_it_was(given: dict[str, Any]) -> None:
    plain = TaskFilter.of(given).as_json()
    assert json.loads(json.dumps(plain)) == given
    assert TaskFilter.of(plain) == TaskFilter.of(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "the filter is [], but must be an object"),
        ("status=FAILURE", "must be an object"),
        ({"search": "x"}, "the filter has 'search', which is none of status, name"),
        ({1: 2}, "the filter has '1', which is none of"),
        ({"status": "FAILURE"}, "status is 'FAILURE', but must be a list"),
        ({"status": ["BROKEN"]}, "status has 'BROKEN', but must be of PENDING"),
        ({"status": [["FAILURE"]]}, "status has ['FAILURE'], but must be of"),
        ({"name": ["a\x00b"]}, "name has 'a\\x00b', but must be of texts"),
        ({"name": [""]}, "name has '', but must be of texts"),
        ({"name": ["x" * 201]}, "but must be of texts of 1 to 200 characters"),
        ({"queue": [None]}, "queue has None, but must be of texts"),
        (
            {"name": [str(n) for n in range(101)]},
            "name has 101 values, but may have 100",
        ),
        ({"since": "yesterday"}, "since is 'yesterday', but must be a time with"),
        ({"until": "2026-07-01T06:00:00"}, "must be a time with its zone"),
        ({"since": "2026-99-99T00:00:00+00:00"}, "must be a time with its zone"),
        ({"ids": ["7"]}, "ids has '7', but must be the id of a task"),
        ({"ids": [5]}, "ids has 5, but must be the id of a task"),
        ({"ids": [ID] * (MOST_IDS + 1)}, "ids has 1,001 values, but may have 1,000"),
        ({"root": None}, "root has None, but must be the id of a task"),
        ({"worker": [True]}, "worker has True, but must be the id of a worker"),
        ({"worker": [2**63]}, "but must be the id of a worker"),
        ({"level": "middle"}, 'level is \'middle\', but must be "top" or "below"'),
        ({"level": ["top"]}, 'but must be "top" or "below"'),
    ],
)
def test_what_is_no_filter_is_refused_with_its_value(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"but m|which is none") as caught:
        TaskFilter.of(given)
    assert message in str(caught.value)


def test_each_part_narrows() -> None:
    top = forced(Status.WAITING, name="top", queue="a")
    child = forced(Status.FAILURE, top, name="child", queue="b")
    below = forced(Status.LOST, child, name="below", queue="a")
    running = forced(Status.RUNNING, name="runs")

    def found(**given: Any) -> list[str]:
        rows = TaskFilter.of(given).narrow(Task.objects.all()).order_by("pk")
        return [row.name for row in rows]

    assert found() == ["top", "child", "below", "runs"]
    assert found(status=["FAILURE", "LOST"]) == ["child", "below"]
    assert found(status=[]) == []
    assert found(name=["top", "below"], queue=["a"]) == ["top", "below"]
    assert found(queue=["b"]) == ["child"]
    assert found(ids=[top.pk.hex, below.pk.hex]) == ["top", "below"]
    assert found(root=top.pk.hex) == ["top", "child", "below"]
    assert found(root=child.pk.hex) == []
    assert found(parent=top.pk.hex) == ["child"]
    assert found(worker=[WORKER]) == ["runs"]
    assert found(level="top") == ["top", "runs"]
    assert found(level="below") == ["child", "below"]
    assert found(status=["LOST"], root=top.pk.hex, level="below") == ["below"]
    assert running.pk


def test_a_time_is_a_range_of_ids() -> None:
    made = forced(Status.QUEUED)
    moment = datetime.fromtimestamp((made.pk.int >> 80) / 1000, UTC)

    def found(**given: Any) -> bool:
        return TaskFilter.of(given).narrow(Task.objects.all()).exists()

    assert found(since=moment.isoformat())
    assert not found(until=moment.isoformat())
    assert not found(since=datetime(2100, 1, 1, tzinfo=UTC).isoformat())
    assert first_of(moment) <= made.pk < uuid7()
