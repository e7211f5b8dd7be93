"""What has not begun, moved in the order by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks  # noqa: F401  (forced rows name them)
from forced import AFTER, after, forced, row, status

from cq import lifecycle
from cq.status import Status

if TYPE_CHECKING:
    from cq.models import Task

pytestmark = pytest.mark.django_db

DB = "default"
NOT_BEGUN = {Status.PENDING, Status.QUEUED, Status.RETRY}


TIMED = frozenset({Status.PENDING, Status.RETRY})


def hastened(ids: list[Any], only: frozenset[Status] = TIMED) -> list[tuple[Any, str]]:
    return lifecycle.hasten(DB, ids, only=only, priority=None)


def in_each_status(**values: Any) -> dict[str, Task]:
    return {status: forced(status, **values) for status in Status}


def test_only_what_has_not_begun_gets_another_priority() -> None:
    made = in_each_status()
    changed = lifecycle.prioritize(DB, [t.pk for t in made.values()], 9)
    assert set(changed) == {made[s].pk for s in NOT_BEGUN}
    assert {s for s, t in made.items() if row(t)["priority"] == 9} == NOT_BEGUN


def test_only_what_has_not_begun_gets_another_queue() -> None:
    made = in_each_status()
    moved = dict(lifecycle.move(DB, [t.pk for t in made.values()], "other"))
    assert moved == {made[s].pk: s for s in NOT_BEGUN}
    assert {s for s, t in made.items() if row(t)["queue"] == "other"} == NOT_BEGUN


def test_only_what_waits_for_its_time_is_queued() -> None:
    made = in_each_status(run_after=AFTER)
    moved = dict(hastened([t.pk for t in made.values()]))
    assert moved == {made[s].pk: "default" for s in TIMED}
    assert {s for s, t in made.items() if status(t) != s} == TIMED
    assert row(made[Status.PENDING])["priority"] == 0


def test_what_waits_for_others_stays() -> None:
    waits = forced(Status.PENDING, run_after=AFTER)
    after(waits, forced(Status.RUNNING))
    assert hastened([waits.pk]) == []


def test_no_other_status_than_is_asked_for_is_touched() -> None:
    made = in_each_status(run_after=AFTER)
    ids = [task.pk for task in made.values()]
    only = frozenset({Status.RETRY, Status.COMPLETE})
    assert lifecycle.prioritize(DB, ids, 9, only) == [made[Status.RETRY].pk]
    assert lifecycle.move(DB, ids, "other", only) == [
        (made[Status.RETRY].pk, Status.RETRY)
    ]
    assert hastened(ids, only) == [(made[Status.RETRY].pk, "other")]
