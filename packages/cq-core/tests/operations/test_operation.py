"""What an operation is to do: its arguments, and how tasks are spread over a time."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from operating import operation

from cq.ids import uuid7
from cq.operations.operation import MOST_STARTS, Operation

pytestmark = pytest.mark.django_db

NEWEST = uuid7()
PLAIN = {"verb": "retry", "filter": {"status": ["FAILURE"]}, "newest": NEWEST.hex}


def test_what_is_read_is_written_as_it_was() -> None:
    made = operation(
        "retry",
        {"status": ["FAILURE"]},
        newest=NEWEST,
        total=5,
        reason="mended",
        by="kim",
        spread=2.5,
    )
    plain = json.loads(json.dumps(made.as_json()))
    assert Operation.of(plain) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verb": "delete"}, "the verb is 'delete', but must be one of retry, revoke"),
        ({"verb": ["retry"]}, "the verb is ['retry'], but must be one of"),
        ({"filter": None}, "the filter is None, but must be an object"),
        ({"filter": {"q": "x"}}, "the filter has 'q', which is none of"),
        ({"newest": "x"}, "newest is 'x', but must be the id of a task"),
        ({"newest": 7}, "newest is 7, but must be the id of a task"),
        ({"total": -1}, "total is -1, but must be a number of tasks"),
        ({"total": True}, "total is True, but must be a number of tasks"),
        ({"reason": "x" * 501}, "but must be text of at most 500 characters"),
        ({"by": 5}, "by is 5, but must be text"),
        ({"by": "a\x00"}, "but must be text of at most 200 characters"),
        ({"spread": -1}, "spread is -1, but must be a number of minutes"),
        ({"spread": float("nan")}, "spread is nan, but must be a number of minutes"),
        ({"spread": True}, "spread is True, but must be a number of minutes"),
        ({"spread": 5}, "too many tasks to be counted in time"),
        ({"verb": "revoke", "spread": 5, "total": 1}, "revoke cannot be spread"),
        ({"value": 5}, "the value is 5, but this verb takes none"),
        ({"verb": "priority"}, "priority is None, but must be a whole number"),
        ({"verb": "priority", "value": 101}, "priority is 101, but must be a whole"),
        ({"verb": "queue", "value": ""}, "queue is '', but must be a name of 1 to 100"),
        ({"verb": "queue", "value": "x" * 101}, "but must be a name of 1 to 100"),
        ({"later": 1}, "the operation has 'later', which this release does not know"),
    ],
)
def test_what_cannot_be_done_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Operation.of(PLAIN | change)
    assert message in str(caught.value)


@pytest.mark.parametrize("missing", ["verb", "filter", "newest"])
def test_nothing_is_made_up_for_what_is_not_given(missing: str) -> None:
    given = {name: value for name, value in PLAIN.items() if name != missing}
    with pytest.raises(ValueError, match=f"the operation has no {missing}"):
        Operation.of(given)


def test_a_queue_that_is_not_allowed_is_refused(settings: Any) -> None:
    settings.CQ_QUEUES = ["mail"]
    with pytest.raises(ValueError, match="is not in CQ_QUEUES"):
        Operation.of(PLAIN | {"verb": "queue", "value": "other"})


def test_tasks_start_one_after_the_other() -> None:
    made = operation("retry", newest=NEWEST, total=20, spread=10)
    ids = [uuid7() for _ in range(10)]
    first, second = made.starts(ids, 0), made.starts(ids, 10)
    assert [first[pk] for pk in ids] == [timedelta(seconds=30 * n) for n in range(10)]
    assert second[ids[0]] == timedelta(minutes=5)
    assert max(second.values()) < timedelta(minutes=10)


def test_many_of_a_batch_start_in_parts() -> None:
    made = operation("retry", newest=NEWEST, total=500, spread=10)
    starts = made.starts([uuid7() for _ in range(500)], 0)
    moments = sorted(set(starts.values()))
    assert len(moments) == MOST_STARTS
    assert moments[1] - moments[0] == timedelta(seconds=6)


def test_more_than_were_counted_start_at_the_end() -> None:
    made = operation("retry", newest=NEWEST, total=5, spread=10)
    ids = [uuid7()]
    assert made.starts(ids, 500) == {ids[0]: timedelta(minutes=10)}
    assert operation("retry", newest=NEWEST, total=5).starts(ids, 0) == {}


def test_a_revoked_task_says_by_whom_and_why() -> None:
    made = operation("revoke", newest=NEWEST, by="kim", reason="Provider is down.")
    said = f"It was revoked by kim in operation {NEWEST}. Provider is down."
    assert made.revoked(NEWEST) == said
